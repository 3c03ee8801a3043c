import sys
import threading

from keras_kd.export.conversion import serving


def test_exports_side_by_side_give_standard_output_back():
    before, inside = sys.stdout, threading.Barrier(2, timeout=5)

    def export():
        inside.wait()
        for _ in range(200):
            with serving._silence():
                assert sys.stdout is not before

    threads = [threading.Thread(target=export) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.stdout is before
