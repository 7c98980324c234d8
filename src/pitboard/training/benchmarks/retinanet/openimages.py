class OpenImages:
    pass
