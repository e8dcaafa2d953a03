"""scikit-learn is loaded late and by whichever thread needs it first: several may at once."""

import subprocess
import sys

# The thread that loads it is stopped half-way until the other waits: for our lock, or for one of the import's.
BOTH_AT_ONCE = """
import builtins, sys, threading
from desk.tickets import measures
from desk.tickets.triage import lexical

half_way, failures = threading.Event(), []
threading.excepthook = lambda failed: failures.append(repr(failed.exc_value))
real_import = builtins.__import__

def stopped_import(name, *arguments):
    if name == "sklearn.base" and threading.current_thread() is threading.main_thread() and not half_way.is_set():
        half_way.set()
        while other.is_alive() and sys._current_frames()[other.ident].f_code.co_name not in ("module", "acquire"):
            pass
    return real_import(name, *arguments)

def come_later():
    half_way.wait()
    lexical.count(["a lamp that flickers"])

assert "sklearn" not in sys.modules
builtins.__import__ = stopped_import
other = threading.Thread(target=come_later)
other.start()
measures.separation([1.0], [0.0])
other.join()
assert half_way.is_set() and not failures, failures
"""


def test_two_threads_that_need_it_first_at_once_both_get_it() -> None:
    ran = subprocess.run([sys.executable, "-c", BOTH_AT_ONCE], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
