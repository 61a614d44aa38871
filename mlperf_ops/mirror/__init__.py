"""The lab mirror: one folder with everything that a plan needs, from which hosts install without a route outside.

`fetch` fills it, `mirror.json` says of every file what it is, and `server` serves it. The layout is in `manifest`.
"""
