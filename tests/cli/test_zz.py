import time, cProfile, pstats
from tests.cli.conftest import *
def test_det(cli, capfd):
    for w in (True, False):
        p = cProfile.Profile(); p.enable()
        t=time.time()
        c=time.process_time()
        out = cli.train("det","--weights","none","--work-dir",f"w{w}","--seed","0", options=DETECTOR_RUN, workers=w)
        p.disable()
        with capfd.disabled():
            print(w, time.time()-t, time.process_time()-c)
            pstats.Stats(p).sort_stats("tottime").print_stats(14)
