# The front door. `make` alone says what there is.
#
# Every goal first lets tools/setup install the Debian packages that are missing (instant when none
# is), then lets CMake and Ninja do the work under build/<preset>/. FLAGS goes to CMake as it is.

PREFIX ?= /usr/local
DESTDIR ?=
SECONDS_TO_FUZZ ?= 60
OUT ?= build
FLAGS ?=

FRUGAL := build/release/frugal

.PHONY: help demo build test bench check-all format coverage fuzz install clean

help:
	@echo "Frugal makes AI models small and runs them fast on this machine."
	@echo
	@echo "  make demo       build it, train a small network on a picture, let a small language model speak,"
	@echo "                  show what this machine can do"
	@echo "  make test       build it and run every test"
	@echo
	@echo "  make build      only build: $(FRUGAL)"
	@echo "  make bench      measure it, beside its peers where bench/peers has set them up"
	@echo "  make check-all  test, and more: clang, thread sanitizer, NEON, long fuzzing, coverage"
	@echo "  make coverage   which lines of the lower floors the tests reach"
	@echo "  make fuzz       hostile files for the parsers, SECONDS_TO_FUZZ=60 each"
	@echo "  make format     lay out the code with clang-format"
	@echo "  make install    install under PREFIX=/usr/local (and DESTDIR=, for packagers)"
	@echo "  make clean      remove build/"
	@echo
	@echo "Missing Debian packages are installed on the way (tools/setup --list shows them)."

build:
	@tools/setup build
	@tools/build release $(FLAGS)

demo:
	@tools/setup build
	@tools/build release $(FLAGS)
	@mkdir -p $(OUT)
	$(FRUGAL) demo -o $(OUT)/demo.png
	@echo
	$(FRUGAL) run -t 0.8 -p "One morning Ben met Ruth in the field. Ben had brought his green kite."
	@echo
	$(FRUGAL) run -p "There are two red circles and a blue star. How many circles are there?"
	@echo
	$(FRUGAL) run -p "What is 23 + 48?" --stats
	@echo
	$(FRUGAL) bench peaks

test:
	@tools/setup test
	@tools/run-tests $(FLAGS)

bench:
	@tools/setup build
	@tools/build release $(FLAGS)
	@bench/run

check-all:
	@tools/setup --all
	@tools/check-all

coverage:
	@tools/setup test
	@tools/coverage

fuzz:
	@tools/setup test
	@tools/fuzz $(SECONDS_TO_FUZZ)

format:
	@tools/setup test
	@tools/check-format --fix

install:
	@tools/setup build
	@tools/build release $(FLAGS)
	DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

clean:
	rm -rf build
