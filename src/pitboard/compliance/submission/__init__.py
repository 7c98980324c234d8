"""A submission: its layout, its system descriptions, and how to build one."""
