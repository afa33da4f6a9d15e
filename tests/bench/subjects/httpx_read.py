"""`python httpx_read.py URL`: prints the CPU seconds that httpx takes to read an answer and drop it."""

import sys
import time

import httpx

with httpx.Client(timeout=600) as client:
    client.get(sys.argv[1].rpartition("/bytes/")[0] + "/")
    started = time.process_time()
    with client.stream("GET", sys.argv[1]) as response:
        for _ in response.iter_raw():
            pass
    print(time.process_time() - started)
