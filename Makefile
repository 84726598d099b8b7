# Names over tools/bootstrap.sh and the CMake presets; what is built and how is CMake's (CMakePresets.json).
.PHONY: run check check-all bench format docs clean
PYTHON := .venv/build/bin/python
run:
	@tools/bootstrap.sh build && tools/build.sh release tern ternc size-probe-generation && $(PYTHON) tools/run.py
check:
	@tools/bootstrap.sh build-tests && $(PYTHON) tools/check.py
check-all:
	@tools/bootstrap.sh build-tests && $(PYTHON) tools/check.py --all
bench:
	@tools/bootstrap.sh test && tools/build.sh release tern ternc && .venv/test/bin/python test/bench/compare.py $(or $(ARGS),--long --json build/bench/compare.json --plot build/bench/compare.svg)
format:
	@git ls-files '*.h' '*.cpp' '*.c' | xargs clang-format-22 -i && .venv/test/bin/ruff check --fix -q .
docs:
	@tools/bootstrap.sh build && tools/build.sh release tern-docs
clean:
	@rm -rf build
