#!/usr/bin/env python3
"""A program that talks to a person line by line, with a prompt line, and misbehaves on request.

The first word of a line says what it does; any other line is answered with itself. Only the standard library is used.
"""

import argparse
import os
import signal
import subprocess
import sys
import time

arguments = argparse.ArgumentParser()
arguments.add_argument("--silent", action="store_true", help="never show a prompt line")
arguments.add_argument("--broken", action="store_true", help="say why and exit at once")
args = arguments.parse_args()

held = "nothing"


def say(*words):
    print(*words, flush=True)


def start_children():
    """Starts children that outlive a hang-up of their terminal, each in a way of its own; returns their numbers."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    stubborn = "trap '' HUP TERM; exec sleep 1000"
    children = [
        subprocess.Popen(["sleep", "1000"], **quiet),
        subprocess.Popen(["sleep", "1000"], start_new_session=True, **quiet),
        subprocess.Popen(["nohup", "sleep", "1000"], **quiet),
        subprocess.Popen(["sh", "-c", stubborn], **quiet),
        subprocess.Popen(["sh", "-c", stubborn], start_new_session=True, env={"PATH": os.environ["PATH"]}, **quiet),
    ]
    # Forked twice: its parent is gone at once.
    twice = subprocess.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True)
    return [str(child.pid) for child in children] + [twice.stdout.strip()]


def answer(line):
    global held
    word, _, rest = line.partition(" ")
    if word == "wait":
        time.sleep(1000)
    elif word == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("I hear nothing")
        open("deaf", "w").close()
        while True:
            time.sleep(1000)
    elif word == "lines":
        for number in range(int(rest)):
            print(f"line {number}")
        open("lines", "w").close()
    elif word == "count":
        for number in range(20):
            say(int(rest) + number)
    elif word == "nonsense":
        sys.stdout.buffer.write(b"\xff\xfe\xfd \x1b[99999;99999H\x1b]0;a title\x07 \x1b[ \x00\x01\x02\r\n")
        sys.stdout.buffer.write(b"x" * 10_000_000 + b"\nstill here\n")
        sys.stdout.buffer.flush()
    elif word == "slowly":
        for number in range(int(rest)):
            say(f"line {number}")
            time.sleep(0.4)
    elif word == "pause":
        say("one moment")
        time.sleep(float(rest))
        say("done")
    elif word == "wide":
        say("x" * int(rest) + ".")
    elif word == "clear":
        say("\033[2J\033[3J\033[Hfresh")
    elif word == "env":
        say(rest, "is", os.environ.get(rest, "unknown"))
    elif word == "hold":
        held = rest
        say("I will")
    elif word == "held":
        say("it was", held)
    elif word == "children":
        say(*start_children())
    elif word == "die":
        say("my key is xoxb-1-2\nthese are my last words")
        os._exit(7)
    else:
        say("you said:", line)


if args.broken:
    say("no such model")
    sys.exit(3)
say("Welcome")
while True:
    try:
        answer(input("" if args.silent else "> "))
    except KeyboardInterrupt:
        say("stopped")
    except EOFError:
        sys.exit()
