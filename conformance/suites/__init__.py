"""The suites, in the order in which they run.

Each module has `NAME`, `NEEDS` (what must be installed for it) and
`run(context)`, which records one result for every test. To add a suite, write
such a module and name it here.
"""

from suites import cadaver, curl, khal, litmus, moving, server, server_tester, tsdav, vdirsyncer

ALL = [server, curl, litmus, server_tester, vdirsyncer, khal, tsdav, cadaver, moving]
