# SPDX-License-Identifier: Apache-2.0
"""What lox and Python's own thread pools cost for the tasks that bench/overhead/penstock_tasks.cpp and memory.cpp measure.

Prints one JSON document: {"python", "lox", "records"}, a record {"bench", "impl", "items", "median", "runs"} a row; the
names of the benches, and their units, are those of bench/overhead/catalogue.cpp. Rows take turns; what is about memory or
a program's start runs in a process of its own. `--quick` measures less. Needs lox 1.x.
`build/release/bench/overhead --python PYTHON` calls it.
"""
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import lox

from turns import LOX, parser, record, runs_of, show

WORKERS = 2  # penstock_tasks.cpp has the same
IMAGES, IMAGE_BYTES = 200, 3_000_000


def add_one(x):
    return x + 1


def check(results, items, added):
    if list(results) != list(range(added, items + added)):
        sys.exit("lox_overhead: results are wrong, missing, or in a wrong order")


def resident_bytes(line):
    with open("/proc/self/status", encoding="ascii") as status:
        for each in status:
            if each.startswith(line):
                return int(each.split()[1]) * 1024
    sys.exit("lox_overhead: /proc/self/status does not tell " + line)


# --- tasks: each function makes its pool and returns what sends that many items through it and checks the results ---


def lox_task():
    stage = lox.thread(WORKERS)(add_one)

    def once(items):
        for i in range(items):
            stage.scatter(i)
        check(stage.gather(), items, 1)

    return once


def executor_task():
    pool = ThreadPoolExecutor(WORKERS)

    def once(items):
        futures = [pool.submit(add_one, i) for i in range(items)]
        check((each.result() for each in futures), items, 1)

    return once


def executor_map():
    pool = ThreadPoolExecutor(WORKERS)
    return lambda items: check(pool.map(add_one, range(items)), items, 1)


def chunked_map():
    pool = ThreadPool(WORKERS)
    return lambda items: check(pool.map(add_one, range(items)), items, 1)


# lox 1.x has no chains. What its users can do: gather between the stages, or block a worker of the second on a Future.
def lox_chain_gathered():
    first, second = lox.thread(WORKERS)(add_one), lox.thread(WORKERS)(lambda x: x + 1)

    def once(items):
        for i in range(items):
            first.scatter(i)
        for x in first.gather():
            second.scatter(x)
        check(second.gather(), items, 2)

    return once


def lox_chain_blocked():
    first, second = lox.thread(WORKERS)(add_one), lox.thread(WORKERS)(lambda future: future.result() + 1)

    def once(items):
        for i in range(items):
            second.scatter(first.scatter(i))
        check(second.gather(), items, 2)
        first.gather()

    return once


def executor_chain():
    first, second = ThreadPoolExecutor(WORKERS), ThreadPoolExecutor(WORKERS)

    def once(items):
        futures = [second.submit(lambda future: future.result() + 1, first.submit(add_one, i)) for i in range(items)]
        check((each.result() for each in futures), items, 2)

    return once


def lox_rounds():
    stage = lox.thread(WORKERS)(add_one)

    def once(items):
        for i in range(items):
            stage.scatter(i)
            check(stage.gather(), 1, i + 1)

    return once


def executor_rounds():
    pool = ThreadPoolExecutor(WORKERS)

    def once(items):
        for i in range(items):
            check([pool.submit(add_one, i).result()], 1, i + 1)

    return once


def microseconds_per_item(make, items):
    once = make()
    once(items // 10 + 1)
    start = time.perf_counter()
    once(items)
    return (time.perf_counter() - start) / items * 1e6


# --- in a process of its own: a function returns its figure ---


def queued(scatter, gate, items):
    """What `scatter` adds a call, behind a first one whose body waits."""
    scatter(0)
    before = resident_bytes("VmRSS:")
    for i in range(1, items + 1):
        scatter(i)
    taken = (resident_bytes("VmRSS:") - before) / items
    gate.set()
    return taken


def lox_queued(items):
    gate = threading.Event()
    stage = lox.thread(1)(lambda x: (gate.wait(), x + 1)[1])
    taken = queued(stage.scatter, gate, items)
    check(stage.gather(), items + 1, 1)
    return taken


def executor_queued(items):
    gate = threading.Event()
    pool = ThreadPoolExecutor(1)
    futures = []
    body = lambda x: (gate.wait(), x + 1)[1]
    taken = queued(lambda i: futures.append(pool.submit(body, i)), gate, items)
    check((each.result() for each in futures), items + 1, 1)
    return taken


def make_image(seed):
    return bytes([seed % 251]) * IMAGE_BYTES


def count_pixels(image):
    return image.count(image[0])


def images_of(future):
    return count_pixels(future.result())


def peak(counts, own):
    if counts != [IMAGE_BYTES] * IMAGES:
        sys.exit("lox_overhead: images are wrong or missing")
    return (resident_bytes("VmHWM:") - own) / 1e6


def lox_peak_gathered(_):
    own = resident_bytes("VmRSS:")
    first, second = lox.thread(WORKERS)(make_image), lox.thread(WORKERS)(count_pixels)
    for i in range(IMAGES):
        first.scatter(i)
    for image in first.gather():
        second.scatter(image)
    return peak(list(second.gather()), own)


def lox_peak_blocked(_):
    own = resident_bytes("VmRSS:")
    first, second = lox.thread(WORKERS)(make_image), lox.thread(WORKERS)(images_of)
    for i in range(IMAGES):
        second.scatter(first.scatter(i))
    return peak(list(second.gather()), own)


def executor_peak(_):
    own = resident_bytes("VmRSS:")
    first, second = ThreadPoolExecutor(WORKERS), ThreadPoolExecutor(WORKERS)
    futures = [second.submit(images_of, first.submit(make_image, i)) for i in range(IMAGES)]
    return peak([each.result() for each in futures], own)


def lox_first(_):
    start = time.perf_counter()
    stage = lox.thread(WORKERS)(add_one)
    stage.scatter(0)
    result = stage.gather()
    taken = (time.perf_counter() - start) * 1e3
    check(result, 1, 1)
    return taken


def executor_first(_):
    start = time.perf_counter()
    result = ThreadPoolExecutor(WORKERS).submit(add_one, 0).result()
    taken = (time.perf_counter() - start) * 1e3
    check([result], 1, 1)
    return taken


HERE = {  # bench: (items, items of a quick run, rows)
    "thread_task": (20_000, 2_000, {
        LOX: lox_task,
        "ThreadPoolExecutor.submit": executor_task,
        "ThreadPoolExecutor.map": executor_map,
        "multiprocessing ThreadPool.map, chunked": chunked_map,
    }),
    "chain_of_two": (10_000, 2_000, {
        LOX + ", gather between": lox_chain_gathered,
        LOX + ", body waits for a Future": lox_chain_blocked,
        "ThreadPoolExecutor, body waits": executor_chain,
    }),
    "one_item_round": (20_000, 2_000, {LOX: lox_rounds, "ThreadPoolExecutor.submit": executor_rounds}),
}
APART = {
    "first_result": (1, 1, {LOX: lox_first, "ThreadPoolExecutor": executor_first}),
    "queued_bytes": (100_000, 20_000, {LOX: lox_queued, "ThreadPoolExecutor": executor_queued}),
    "peak_rss": (IMAGES, IMAGES, {
        LOX + ", gather between": lox_peak_gathered,
        LOX + ", body waits for a Future": lox_peak_blocked,
        "ThreadPoolExecutor, body waits": executor_peak,
    }),
}


def apart(function, items):
    command = [sys.executable, "-B", __file__, "--measure", function.__name__, str(items)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


def measure_all(quick):
    records = []
    for benches, take in ((HERE, microseconds_per_item), (APART, apart)):
        for bench, (full_items, quick_items, rows) in benches.items():
            items = quick_items if quick else full_items
            for name, taken in runs_of(rows, lambda row: take(row, items), quick).items():
                records.append(record(bench, name, taken, items=items))
    return records


def main():
    options = parser(__doc__)
    options.add_argument("--measure", nargs=2, metavar=("NAME", "ITEMS"), help="one figure, here (used by this script)")
    asked = options.parse_args()
    if asked.measure:
        print(globals()[asked.measure[0]](int(asked.measure[1])))
    else:
        show(measure_all(asked.quick))


if __name__ == "__main__":
    main()
