"""Power measurement without a meter: nothing in here measures, and everything that it touches says SIMULATED.

`ptd_simulated.py` stands in for the meter's licensed daemon, below the official client and server as well as below the
double of both in `double/`. `sntp.py` answers the official software's question for the time. `flow.py` runs a whole
measurement. Results carry the mark, and aggregate, check and pack refuse them.
"""
