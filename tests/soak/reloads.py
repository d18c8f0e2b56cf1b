"""Reloads under load: no session is dropped, no message lost or doubled."""

import time

from kills import make_gateway, make_names
from counted_load import Load, Recorder, read_maildirs, settle


def run(folder, times):
    recorder, names = Recorder(), make_names()
    gateway = make_gateway(folder, recorder, names).start()
    load = Load(gateway.port)
    took = []
    try:
        for number in range(times):
            gateway.settings["limits"]["errors"] = 10 + number  # something has changed
            gateway.write_config()
            start = time.monotonic()
            gateway.command("reload")
            took.append(time.monotonic() - start)
        assert gateway.status()["generation"] == times + 1
        load.finish()
        assert not load.troubles, f"{len(load.troubles)} sessions noticed: {[str(each[2]) for each in load.troubles[:5]]}"
        stored = dict(recorder.stored)
        stored.update(read_maildirs(gateway.data / "mail"))
        doubled = settle(gateway, load, stored)
        assert not doubled, doubled
    finally:
        load.give_up()
        gateway.stop()
        recorder.close()
        names.close()
    return {"reloads": times, "acknowledged": len(load.acknowledged), "seconds per reload, mean": round(sum(took) / times, 3),
            "seconds per reload, most": round(max(took), 3)}
