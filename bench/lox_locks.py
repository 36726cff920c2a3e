# SPDX-License-Identifier: Apache-2.0
"""What lox's locks and threading.Lock cost, and how long they let wait: the Python rows of bench/locks.

Prints one JSON document: {"python", "lox", "records"}, a record {"bench", "impl", "figure", "median", "runs"} a row and
figure; the names of benches and figures, and what is measured, are those of bench/locks. Rows take turns. `--quick`
measures less. Needs lox 1.x. `build/release/bench/locks --python PYTHON` calls it.
"""
import ctypes
import math
import sys
import threading
import time

import lox

from turns import LOX, parser, record, runs_of, show


# --- rows of costs: each function makes its lock, for so many slots, and returns what takes and gives back once ---


def index_semaphore(slots):
    free = lox.IndexSemaphore(slots)
    return lambda: free.release(free.acquire())


def locking(make):
    def with_lock(_):
        lock = make()

        def once():
            lock.acquire()
            lock.release()

        return once

    return with_lock


def reading_or_writing(flag):
    def with_lock(_):
        lock = lox.RWLock()

        def once():
            lock.acquire(flag)
            lock.release(flag)

        return once

    return with_lock


COSTS = {  # bench: (slots in the columns, rows)
    "indices": ((4, 2, 2), {LOX + " IndexSemaphore": index_semaphore}),
    "locks": ((1, 1, 1), {
        "threading.Lock": locking(threading.Lock),
        LOX + " QLock": locking(lox.QLock),
        LOX + " LightSwitch, threading.Lock": locking(lambda: lox.LightSwitch(threading.Lock())),
    }),
    "reading": ((1, 1, 1), {LOX + " RWLock": reading_or_writing("r")}),
    "writing": ((1, 1, 1), {LOX + " RWLock": reading_or_writing("w")}),
}
COLUMNS = (("idle", 1), ("2 threads", 2), ("4 threads", 4))
WAITS = {  # bench: (threads, slots, seconds of a hold, holds of each thread, those of a quick run)
    "waits_8_2": (8, 2, 1e-3, 25, 10),
    "waits_64_4": (64, 4, 200e-6, 100, 20),
}
FIGURES = ("p50", "p99", "max", "mean hold", "spread", "holds/s")


def together(threads, work, meanwhile=lambda: None):
    """Calls work(thread) in so many threads, which begin together with meanwhile(), here."""
    start = threading.Barrier(threads + 1)

    def begin(thread):
        start.wait()
        work(thread)

    running = [threading.Thread(target=begin, args=(i,)) for i in range(threads)]
    for each in running:
        each.start()
    start.wait()
    meanwhile()
    for each in running:
        each.join()


def cost(once, threads, seconds):
    """Nanoseconds: the time, divided by what all threads together did in it."""
    done = [0] * threads
    elapsed = 0
    stop = False

    def work(thread):
        holds = 0
        while not stop:
            for _ in range(16):
                once()
            holds += 16
        done[thread] = holds

    def meanwhile():
        nonlocal elapsed, stop
        start = time.perf_counter()
        time.sleep(seconds)
        elapsed = time.perf_counter() - start
        stop = True

    together(threads, work, meanwhile)
    return elapsed * 1e9 / sum(done)


def percentile(ordered, part):
    return ordered[max(math.ceil(part * len(ordered)), 1) - 1]


def waits(threads, slots, hold, holds):
    """FIGURES of threads that hold a slot, asleep, and come back at once; woken as precisely as those of holding.hpp."""
    ctypes.CDLL(None).prctl(29, ctypes.c_ulong(1_000))  # PR_SET_TIMERSLACK
    free = lox.IndexSemaphore(slots)
    held_by = [False] * slots
    waited, held = [[] for _ in range(threads)], [0.0] * threads
    began, ended = [0.0] * threads, [0.0] * threads
    overlaps = []

    def work(thread):
        began[thread] = time.perf_counter()
        for _ in range(holds):
            came = time.perf_counter()
            index = free.acquire()
            got = time.perf_counter()
            if held_by[index]:
                overlaps.append(index)
            held_by[index] = True
            waited[thread].append((got - came) * 1e3)
            time.sleep(hold)
            held_by[index] = False
            held[thread] += time.perf_counter() - got
            free.release(index)
        ended[thread] = time.perf_counter()

    together(threads, work)
    if overlaps:
        sys.exit("lox_locks: an index has two holders")
    ordered = sorted(each for some in waited for each in some)
    first, last = min(ended) - min(began), max(ended) - min(began)
    return (percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1], sum(held) * 1e6 / len(ordered),
            last / first, len(ordered) / last)


def costs_of_all(quick):
    for bench, (slots, rows) in COSTS.items():
        for (figure, threads), lent in zip(COLUMNS, slots):
            runs = runs_of(rows, lambda make: cost(make(lent), threads, 0.02 if quick else 0.2), quick)
            for name, taken in runs.items():
                yield record(bench, name, taken, figure=figure)


def waits_of_all(quick):
    row = LOX + " IndexSemaphore"
    for bench, (threads, slots, hold, holds, quick_holds) in WAITS.items():
        runs = runs_of({row: None}, lambda _: waits(threads, slots, hold, quick_holds if quick else holds), quick)[row]
        for figure, taken in zip(FIGURES, zip(*runs)):
            yield record(bench, row, taken, figure=figure)


def main():
    asked = parser(__doc__).parse_args()
    show([*costs_of_all(asked.quick), *waits_of_all(asked.quick)])


if __name__ == "__main__":
    main()
