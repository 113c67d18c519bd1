"""What the benchmarks share: figures in rounds, ratios with targets, processor time."""

import contextlib
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from cluster import BUILD  # noqa: E402


def add_options(parser, sections, seconds, rounds):
    parser.add_argument("--only", default=",".join(sections), metavar="SECTION,...",
                        help="any of " + ", ".join(sections) + " (default: all)")
    parser.add_argument("--seconds", type=float, default=seconds,
                        help="measured time of each figure (default: %(default)g)")
    parser.add_argument("--rounds", type=int, default=rounds,
                        help="rounds that time is split into (default: %(default)d)")
    parser.add_argument("--directory", default=BUILD, help="where to make the temporary directory; its filesystem is "
                        "what is measured (default: the build directory)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")


def check_options(parser, options, sections):
    options.only = options.only.split(",")
    unknown = set(options.only) - set(sections)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(sections)}")
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds is 1 or more, --seconds more than 0")


# ---- figures and ratios ----

class Report:
    """Figures by name, each with its rounds; ratios with their targets."""

    def __init__(self):
        self.figures = {}
        self.ratios = []
        self.skipped = {}

    def add(self, name, figure):
        self.figures.setdefault(name, []).append(figure)

    def median(self, name, field):
        return statistics.median(figure[field] for figure in self.figures[name])

    def ratio(self, name, values, limit=None, at_least=None, at_most=None, unit=""):
        """`values` are those of the rounds."""
        value = statistics.median(values)
        met = None
        if at_least is not None or at_most is not None:
            met = value >= at_least if at_least is not None else value <= at_most
        self.ratios.append({"name": name, "value": value, "unit": unit, "limit": limit, "at_least": at_least,
                            "at_most": at_most, "met": met})

    def over(self, name, field, other):
        """That field of one figure over the same of another, round by round."""
        return [a[field] / b[field] for a, b in zip(self.figures[name], self.figures[other]) if b[field] > 0]

    def skip(self, name, why):
        self.skipped[name] = why

    def document(self, machine):
        figures = {name: {**{field: self.median(name, field) for field in rounds[0]}, "rounds": rounds}
                   for name, rounds in self.figures.items()}
        return {"machine": machine, "figures": figures, "ratios": self.ratios, "skipped": self.skipped}


# ---- programs ----

def tool(program, what, **options):
    """Runs one of the programs of tests/bench and returns its figure."""
    return finish_tool(start_tool(program, what, **options))


def start_tool(program, what, **options):
    command = [path_of(program), what]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish_tool(process):
    output, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(process.args)}: exit status {process.returncode}: {errors.strip()}")
    return json.loads(output) if output else None


def path_of(program):
    return os.path.join(BUILD, "tests", "bench", program)


def cpu_of(pid, measure):
    """The figure, with the server's processor time per call in it."""
    before = cpu_us(pid)
    figure = measure()
    figure["cpu_us"] = (cpu_us(pid) - before) / max(1, figure["started"])
    return figure


def cpu_us(pid):
    """What the threads of a process have had of the processors, of those that are still there."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with contextlib.suppress(OSError), open(path) as schedstat:
            total += int(schedstat.read().split()[0])
    return total / 1000


class NullServer:
    """The rpc room alone, in a process of its own."""

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        self.process = subprocess.Popen([path_of(self.program), "serve"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.target = f"127.0.0.1:{int(self.process.stdout.readline())}"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


# ---- rounds ----

class Benchmark:
    """What is measured: a subclass has run() and print_figures()."""

    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.report = Report()
        self.slice = options.seconds / options.rounds
        self.systems = 0

    def has(self, section):
        return section in self.options.only

    def progress(self, text):
        if not self.options.json and sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def new_directory(self):
        self.systems += 1
        return os.path.join(self.directory, str(self.systems))

    def rounds(self, figures):
        """Measures each figure once a round, every other round in reverse order."""
        for turn in range(self.options.rounds):
            for name, measure in figures if turn % 2 == 0 else reversed(figures):
                self.progress(f"round {turn + 1} of {self.options.rounds}: {name}")
                self.report.add(name, measure())


# ---- the program ----

def print_ratios(report):
    print()
    for ratio in report.ratios:
        target = ""
        if ratio["met"] is not None:
            sign, bound = (">=", ratio["at_least"]) if ratio["at_least"] is not None else ("<=", ratio["at_most"])
            target = f"target {sign} {bound:g}: " \
                     f"{'met' if ratio['met'] else 'MISSED'}"
        what = ratio["name"] + (f" / ({ratio['limit']})" if ratio["limit"] else "")
        print(f"{what:70} {ratio['value']:9.2f} {ratio['unit']:3}  {target}".rstrip())
    for name, why in report.skipped.items():
        print(f"{name}: skipped: {why}")


def machine_of(directory):
    filesystem = subprocess.run(["df", "--output=fstype", directory], capture_output=True, text=True, check=True)
    return {"cpus": os.cpu_count(), "filesystem": filesystem.stdout.split()[-1], "load": os.getloadavg()[0]}


def run_benchmark(program, options, benchmark_class):
    if not os.path.exists(path_of(program)):
        sys.exit(f"{path_of(program)} is not built; build first (README.md), or set WAYBILL_BUILD")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = tempfile.mkdtemp(prefix="bench-", dir=options.directory)
    try:
        machine = machine_of(directory)
        benchmark = benchmark_class(options, directory)
        benchmark.run()
        benchmark.progress("")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        print(json.dumps(benchmark.report.document(machine), indent=1))
        return
    print(f"{machine['cpus']} CPUs, {machine['filesystem']}, load {machine['load']:.1f} before; each figure "
          f"{options.seconds:g} s in {options.rounds} rounds, medians\n")
    benchmark.print_figures()
    print_ratios(benchmark.report)
