"""Results that were made elsewhere: from folders of LoadGen logs to attempts of a results folder.

`import_map` is the form of the user's YAML file, `names` finds what its names stand for, `attempt` verifies one folder
of logs, and `store` writes the attempts. Nothing here runs anything.
"""
