"""What is wrong with a host, in a sentence and a remedy, before anything is changed.

`question` says how Ansible would reach a host and what the host needs; `examine` asks all hosts in parallel, each by
one command (`probe`, through `remote`); `judge` turns what they said into findings; `record` keeps them as
preflight.json.
"""
