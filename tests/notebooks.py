"""Run every notebook: `python tests/notebooks.py [NAME ...]`. Cells with `#| slow` are left out.

Each runs as under `nbdev_test`. But the long ones go first, so that no core waits for a last one,
and those that only score start METEOR's Java once, together.
"""

import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from nbdev.test import test_nb
from book import BOOK, NBS, ROOT
import idc_nb.demo  # loads what most notebooks import, once for all processes
from idc_nb.lab.java import open_meteor

WORKERS = 2
#: they score sentences; lab/15_java and tests/faults/test_java.py try how Java starts and ends
SCORING = '''14_metrics 20_expansion lab/35_evaluate lab/39_rival_runs
lab/54_ablation_runs'''.split()
#: those that take longest, in processor seconds 29 to 12
LONG = '''lab/37_swap 07_mlm 11_pretrain 12_finetune lab/26_studies 23_gpu 06_training 08_mvcl
world/05_bird_words lab/46_on_device lab/03_store'''.split()


def run(stems, java=False) -> list:  # of those that failed
    failed = []
    with open_meteor() if java else nullcontext():
        for stem in stems:
            start = time.process_time()
            good, _ = test_nb(NBS / f'{stem}.ipynb', skip_flags=['slow'], basepath=ROOT)
            print(f'{stem}: {time.process_time() - start:.0f} s', flush=True)
            failed += [] if good else [stem]
    return failed


def main(names) -> int:  # exit code
    names = names or BOOK
    first = [stem for stem in LONG if stem in names]
    scoring = [stem for stem in SCORING if stem in names]
    rest = [stem for stem in names if stem not in {*LONG, *SCORING}]
    with ProcessPoolExecutor(WORKERS) as pool:
        runs = [pool.submit(run, scoring, True)] if scoring else []
        runs += [pool.submit(run, [stem]) for stem in (*first, *rest)]
        failed = [stem for done in as_completed(runs) for stem in done.result()]
    print(f'failed: {failed}' if failed else f'{len(names)} notebooks run')
    return 1 if failed else 0


if __name__ == '__main__':
    import notebooks  # by its name: a notebook that runs is the `__main__` of its process

    sys.exit(notebooks.main(sys.argv[1:]))
