"""The web page and the JSON API: handlers parse, call one function, and show what it returned.

`pitboard.web.app.create_app` makes the application. Nothing is imported here: the process that judges an
upload is of this package too, and must begin soon.
"""
