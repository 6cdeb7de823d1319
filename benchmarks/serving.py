"""``fer-mlops serve`` beside ``mlflow models serve``: latency, throughput, a long load, rudeness.

Everything runs on this machine and talks to 127.0.0.1 only; the client takes its share of the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from machine import describe
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from hostile import hostile_requests, request
from wire import Line, send_hostile

CLIENTS = 32
TENTHS = 10
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}

IN_PYTHON = """
import sys, time, statistics, torch, pandas as pd, mlflow
torch.set_num_threads(1)
image, rounds = open(sys.argv[2], "rb").read(), int(sys.argv[3])
def times(answer):
    for _ in range(20): answer()
    taken = []
    for _ in range(rounds):
        started = time.perf_counter(); answer(); taken.append(1000 * (time.perf_counter() - started))
    taken.sort()
    return f"p50 {statistics.median(taken):.2f} ms, p95 {taken[int(.95 * len(taken))]:.2f} ms"
model = mlflow.pyfunc.load_model(sys.argv[1])
print("pyfunc in Python:     ", times(lambda: model.predict(pd.DataFrame({"image": [image]}))))
from fer_mlops.tracking.registry import load_classifier
own = load_classifier(sys.argv[1])
print("classifier in Python: ", times(lambda: own.predict_proba(own.prepare([image]))))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, ready: str) -> Iterator[psutil.Process]:
    """Runs a service until the block ends; yields its process once it answers."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        command,
        env={**os.environ, **QUIET, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as started:
        try:
            for _ in range(600):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5):
                        break
                except (urllib.error.URLError, OSError) as error:
                    if started.poll() is not None:
                        raise SystemExit(f"{' '.join(command)} ended") from error
                    time.sleep(0.2)
            yield psutil.Process(started.pid)
        finally:
            family = psutil.Process(started.pid).children(recursive=True)
            started.terminate()
            for process in family:
                if process.is_running():
                    process.terminate()


def ours(model: str, port: int, *more: str) -> list[str]:
    command = [sys.executable, "-m", "fer_mlops", "serve", "--model", model, "--challenger", "none"]
    return [*command, "--port", str(port), "--set", "logs_requests=false", *more]


def theirs(model: str, port: int) -> list[str]:
    mlflow = str(Path(sys.executable).parent / "mlflow")
    return [mlflow, "models", "serve", "-m", model, "--env-manager", "local", "--port", str(port)]


def memory(process: psutil.Process) -> float:
    """Returns resident MB of a process and all it started."""
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 1e6


def quantiles(taken: list[float]) -> str:
    """Returns the middle and the slow end of times in seconds, in ms."""
    p50, p95, p99 = (1000 * float(np.quantile(taken, q)) for q in (0.5, 0.95, 0.99))
    return f"p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms"


async def one_by_one(port: int, wire: bytes, num: int) -> list[float]:
    """Returns the seconds of requests over one connection, each after the answer to the last."""
    line, taken = await Line.open(port), []
    for number in range(num + 20):
        started = time.perf_counter()
        status, body = await line.ask(wire)
        assert status == 200, body
        if number >= 20:
            taken.append(time.perf_counter() - started)
    line.close()
    return taken


async def all_at_once(port: int, wire: bytes, seconds: float) -> float:
    """Returns the answers per second that CLIENTS connections get, each asking as soon as it may."""
    lines = [await Line.open(port) for _ in range(CLIENTS)]
    until, num = time.perf_counter() + seconds, 0

    async def client(line: Line) -> None:
        nonlocal num
        while time.perf_counter() < until:
            status, body = await line.ask(wire)
            assert status == 200, body
            num += 1

    started = time.perf_counter()
    await asyncio.gather(*map(client, lines))
    rate = num / (time.perf_counter() - started)
    for line in lines:
        line.close()
    return rate


async def steady(
    port: int, wire: bytes, rate: float, seconds: float
) -> tuple[list[float], Counter[int]]:
    """Returns times, from when each was due, and statuses of requests that come at a fixed rate."""
    idle: asyncio.Queue[Line] = asyncio.Queue()
    for _ in range(4 * CLIENTS):
        idle.put_nowait(await Line.open(port))
    taken: list[float] = []
    statuses: Counter[int] = Counter()

    async def one(due: float) -> None:
        line = await idle.get()
        try:
            status, _ = await line.ask(wire)
        except (ConnectionError, asyncio.IncompleteReadError):
            status, line = 0, await Line.open(port)
        statuses[status] += 1
        taken.append(time.perf_counter() - due)
        idle.put_nowait(line)

    started, tasks = time.perf_counter(), set()
    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    while not idle.empty():
        idle.get_nowait().close()
    return taken, statuses


async def be_rude(port: int, num: int) -> tuple[Counter[int], list[str]]:
    """Returns the statuses of hostile requests, eight at a time, and what was answered wrongly."""
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    todo = hostile_requests(num)

    async def client() -> None:
        for hostile in todo:
            status, body = await send_hostile(port, hostile)
            statuses[status] += 1
            if not (400 <= status < 500 or (status == 0 and hostile.may_hang_up)):
                wrong.append(f"{hostile.kind}: {status} {body[:80]!r}")

    await asyncio.gather(*(client() for _ in range(8)))
    return statuses, wrong


def compare(model: str, image: bytes, rounds: int, asked: int, seconds: float) -> float:
    """Measures both services, alternating; returns our capacity in answers per second."""
    text = base64.b64encode(image).decode()
    body = json.dumps({"dataframe_records": [{"image": text}]}).encode()
    invoke = request(body, "application/json", path="/invocations")
    raw = request(image, "image/jpeg")
    cases: dict[str, tuple[Callable[[int], list[str]], str, bytes]] = {
        "serve /predict": (lambda port: ours(model, port), "/ready", raw),
        "serve /invocations": (lambda port: ours(model, port), "/ready", invoke),
        "mlflow models serve": (lambda port: theirs(model, port), "/ping", invoke),
    }
    taken: dict[str, list[float]] = {name: [] for name in cases}
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (command, ready, wire) in cases.items():
            port = free_port()
            with running(command(port), port, ready):
                asyncio.run(all_at_once(port, wire, min(2.0, seconds)))  # warm
                taken[name] += asyncio.run(one_by_one(port, wire, asked))
                rates[name].append(asyncio.run(all_at_once(port, wire, seconds)))
    print(f"one client, n = {rounds * asked} each:")
    for name in cases:
        print(f"  {name:20} {quantiles(taken[name])}")
    base = statistics.median(rates["mlflow models serve"])
    print(f"{CLIENTS} clients, {rounds} x {seconds:g} s each, answers per second:")
    for name in cases:
        middle = statistics.median(rates[name])
        spread = f"({min(rates[name]):.0f}–{max(rates[name]):.0f})"
        print(f"  {name:20} {middle:.0f} {spread}, {middle / base:.2f} times mlflow models serve")
    return statistics.median(rates["serve /predict"])


def load(model: str, image: bytes, capacity: float, minutes: float) -> None:
    """Measures a long load at four fifths of capacity."""
    port, rate = free_port(), 0.8 * capacity
    with running(ours(model, port), port, "/ready") as process:
        wire = request(image, "image/jpeg")
        fresh = memory(process)
        asyncio.run(steady(port, wire, rate, 60 * minutes / TENTHS))
        held = [fresh, memory(process)]
        taken: list[float] = []
        statuses: Counter[int] = Counter()
        for _ in range(TENTHS):
            times, answers = asyncio.run(steady(port, wire, rate, 60 * minutes / TENTHS))
            taken += times
            statuses += answers
            held.append(memory(process))
        print(f"load of {rate:.0f} a second for {minutes:g} min: {quantiles(taken)}, {dict(statuses)}")
        print(
            "  memory in MB, fresh, warm, after each tenth: " + " ".join(f"{size:.0f}" for size in held)
        )


def rudeness(model: str, image: bytes, num: int) -> None:
    """Measures what hostile requests are answered with, and what they leave behind."""
    port = free_port()
    with running(ours(model, port), port, "/ready") as process:
        asyncio.run(be_rude(port, num // 10))
        before = memory(process)
        statuses, wrong = asyncio.run(be_rude(port, num))
        print(f"{num} hostile requests: {dict(statuses)} (0: hung up), {len(wrong)} answered wrongly")
        print("".join(f"  {line}\n" for line in wrong[:5]), end="")
        alive = asyncio.run(one_by_one(port, request(image, "image/jpeg"), 1))
        print(f"  memory {before:.0f} MB before, {memory(process):.0f} MB after; alive: {bool(alive)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models:/fer-classifier@champion")
    parser.add_argument("--image", type=Path, help="A face; resized to 224 px, sent as JPEG.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--hostile", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="Tries the script; its figures mean nothing."
    )
    args = parser.parse_args()
    drawn = Path(__file__).parent.parent / "fer_mlops" / "serving" / "http" / "page" / "drawn.webp"
    content = io.BytesIO()
    with Image.open(args.image or drawn) as picture:
        picture.convert("RGB").resize((224, 224)).save(content, format="JPEG", quality=90)
    image = content.getvalue()
    asked, seconds = (50, 2.0) if args.quick else (500, 10.0)
    rounds, minutes = (1, 0.1) if args.quick else (args.rounds, args.minutes)
    num = 500 if args.quick else args.hostile
    print(describe())
    print(f"{args.model}, a JPEG of 224 px and {len(image):,} bytes")
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"fer-mlops-benchmark-{os.getpid()}.jpg"
    file.write_bytes(image)
    try:
        code = [sys.executable, "-W", "ignore", "-c", IN_PYTHON, args.model, str(file), str(asked)]
        subprocess.run(code, check=True, env={**os.environ, **QUIET, "OMP_NUM_THREADS": "1"})
    finally:
        file.unlink()
    capacity = compare(args.model, image, rounds, asked, seconds)
    load(args.model, image, capacity, minutes)
    rudeness(args.model, image, num)


if __name__ == "__main__":
    main()
