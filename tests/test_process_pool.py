import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mxqvae.errors import MxqvaeError
from mxqvae.process_pool import ProcessPool


def add(given: torch.Tensor, number: int) -> torch.Tensor:
    return given + number


def num_threads_beside(given: torch.Tensor, nothing: None) -> int:
    return torch.get_num_threads()


def end(number: int) -> int:
    os._exit(1)


def fail(number: int) -> int:
    raise ValueError(f"no {number}")


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def sleep_beside(given: bytes, seconds: float) -> None:
    time.sleep(seconds)


def test_results_come_in_the_order_of_the_work_a_few_at_a_time():
    taken = []

    def work() -> Iterator[tuple[str, int]]:
        for number in range(20):
            taken.append(number)
            yield f"{number}", number

    with ProcessPool(2, "counts", torch.tensor(100)) as pool:
        results = pool.map(add, work(), num_waiting=3)
        assert next(results) == ("0", 100)
        assert taken == [0, 1, 2]
        assert list(results) == [(f"{number}", 100 + number) for number in range(1, 20)]
        assert list(pool.map(num_threads_beside, [(None, None)], num_waiting=1)) == [(None, 1)]
        few = pool.map(add, work(), num_waiting=3)
        assert next(few) == ("0", 100)
        few.close()  # pyright: ignore[reportAttributeAccessIssue] - nobody wants the others
        assert list(pool.map(add, [("again", 1)], num_waiting=3)) == [("again", 101)]


def test_what_goes_wrong_in_a_process_is_raised_here():
    with ProcessPool(2, "counts") as pool, pytest.raises(ValueError, match="no 3"):
        list(pool.map(fail, [(None, 3)], num_waiting=2))


def test_a_process_that_is_killed_is_told():
    with ProcessPool(2, "counts") as pool, pytest.raises(MxqvaeError) as refusal:
        list(pool.map(end, [(None, 1)], num_waiting=2))
    reason = "a process that counts was killed, for want of memory perhaps"
    assert str(refusal.value) == f"{reason}; take fewer processes (--processes), or more memory"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, TypeError])
def test_what_is_under_way_is_not_waited_for_after_a_stop(stop: type[BaseException]):
    def work() -> Iterator[tuple[None, object]]:
        yield None, 0
        yield None, 600
        if stop is KeyboardInterrupt:
            raise KeyboardInterrupt
        yield None, threading.Lock()  # cannot be sent

    with pytest.raises(stop), ProcessPool(1, "sleeps") as pool:
        list(pool.map(sleep, work(), num_waiting=5))


def stop_after_the_first(results: Iterator[tuple[int, object]]) -> None:
    assert next(results)[0] == 0
    raise KeyboardInterrupt


def large(size: int) -> bytes:
    return bytes(size)


def test_half_a_message_is_not_waited_for():
    work = [(number, 100 << 20) for number in range(8)]
    with pytest.raises(KeyboardInterrupt), ProcessPool(2, "makes bytes") as pool:
        stop_after_the_first(pool.map(large, work, num_waiting=4))  # while the next ones are sent


def length(some: bytes) -> int:
    time.sleep(0.2)
    return len(some)


def test_work_that_waits_is_not_waited_for():
    work = [(number, bytes(10 << 20)) for number in range(12)]
    with pytest.raises(KeyboardInterrupt), ProcessPool(1, "counts bytes") as pool:
        stop_after_the_first(pool.map(length, work, num_waiting=8))


SCRIPT = """
    import os, time
    from mxqvae.process_pool import ProcessPool
    from tests.test_process_pool import sleep_beside

    def main():
        with ProcessPool(1, "sleeps", bytes(1 << 20)) as pool:
            list(pool.map(sleep_beside, [(None, 0)], num_waiting=1))
            (process,) = pool._pool._processes.values()
            print(process.pid, flush=True)
            list(pool.map(sleep_beside, [(None, 600)], num_waiting=1))
"""


def script(tmp_path: Path, ending: str) -> list[str]:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT) + ending)
    return [sys.executable, str(tmp_path / "script.py")]


ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path, str(Path(__file__).parents[1])])}


def test_processes_end_with_the_one_that_started_them(tmp_path: Path):
    command = script(tmp_path, '\nif __name__ == "__main__":\n    main()\n')
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    # The system hands it over and buries it; it may take a moment.
    for _ in range(600):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.1)
    pytest.fail("it goes on without anybody")


def test_a_script_that_starts_itself_again_is_told_why_not(tmp_path: Path):
    done = subprocess.run(
        script(tmp_path, "\nmain()\n"),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    reason = "no process that sleeps could begin; a script that asks for more than one needs the line "
    assert done.stderr.splitlines()[-1].endswith(f'{reason}`if __name__ == "__main__":` above its calls')
