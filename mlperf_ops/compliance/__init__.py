"""Compliance tests: what a test's run is asked for, and what its logs prove.

A test is a cell like any other: it is planned, run and collected with its own audit.config (`audit`). Whether it is
passed is found out on the controller by `verify`, a function of the logs of the test, of the performance run and of
the accuracy run. What the tests ask for and which bounds hold is the round's data (`Round.compliance`).
"""
