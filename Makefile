# Everything happens in .venv, which is made on first use. `make demo` and `make test` are all one needs.
PYTHON ?= python3
BIN := .venv/bin
RUN := PYTHONUNBUFFERED=1 $(BIN)/python
INSTALLED := .venv/installed
# empty means no: many processes read the library and the tests, so each file is compiled once
export PYTHONDONTWRITEBYTECODE :=
SEEDS ?= 3
SEED ?= 0
MINUTES ?= 10
FROM ?= runs/demo_$(SEED)
MODEL ?= mini_clevr
RIVAL ?= DUDA

.PHONY: demo record test step outputs bench bench-long real checkpoint ablation expansion expansion-curve checkpoint-birds lab readme docs assignments assignments-check test-browser test-all fuzz mutants depth alignment cases rivals results results-check why clean

demo: $(INSTALLED)  ## mini data, pre-train, fine-tune, caption, score; everything goes to runs/demo_SEED
	$(RUN) -m idc_nb.demo --seed $(SEED)

record: $(INSTALLED)  ## copy a finished demo (FROM=runs/demo_0) into results/, which git keeps
	$(RUN) -m idc_nb.demo --record $(FROM)

test: $(INSTALLED)  ## style, notebooks and library in step, every notebook runs, pytest
	$(BIN)/ruff check nbs index.ipynb tests docs
	$(BIN)/ruff format --check nbs index.ipynb tests docs
	$(RUN) tests/in_step.py
	$(RUN) -c "from idc_nb.lab.store import lesson_store; lesson_store()"
	OMP_NUM_THREADS=1 $(RUN) tests/notebooks.py
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist worksteal --durations 10 tests

step: $(INSTALLED)  ## export the library, clean the notebooks, write their links
	-$(RUN) tests/in_step.py

outputs: $(INSTALLED)  ## execute every notebook and say which kept outputs no longer hold (NB=path for one)
	OMP_NUM_THREADS=1 $(RUN) tests/outputs.py $(NB)

bench: $(INSTALLED)  ## time of every part beside a straightforward version -> results/bench.json (one thread, minutes)
	OMP_NUM_THREADS=1 $(RUN) tests/bench/bench.py

bench-long: $(INSTALLED)  ## a hundred SIGKILLs, memory of a large epoch (20 GB sparse file), the paper's recipe by name -> results/{kills,memory,recipe}.json (minutes)
	for name in memory recipe kills; do OMP_NUM_THREADS=1 $(RUN) tests/bench/$$name.py || exit 1; done

real: $(INSTALLED)  ## what the shipped model says of 30 real scenes in ../shared -> results/real_triplets.json (seconds)
	OMP_NUM_THREADS=1 $(RUN) tests/bench/real_triplets.py

depth: $(INSTALLED)  ## which real pictures the shipped model knows as foreign, and how honest its probability is -> results/depth.json (a minute)
	OMP_NUM_THREADS=1 $(RUN) tests/bench/depth.py

alignment: $(INSTALLED)  ## where the words of MODEL look, on 300 test pairs of the demo -> results/alignment.json (a minute)
	OMP_NUM_THREADS=1 $(RUN) -m idc_nb.alignment --model $(MODEL)

cases: $(INSTALLED)  ## best, median and worst sentences of MODEL, beside those of RIVAL, and what its errors are -> results/cases.json (a minute)
	OMP_NUM_THREADS=1 $(RUN) -m idc_nb.lab.cases --model $(MODEL) --rival $(RIVAL)

checkpoint: $(INSTALLED)  ## train and pack the checkpoint that ships with the package -> results/checkpoint.json (hours, resumable)
	$(RUN) -m idc_nb.demo --checkpoint

ablation: $(INSTALLED)  ## the ablation: ROWS (all), SEEDS seeds each -> results/ablation.json (hours, resumable)
	$(RUN) -m idc_nb.lab.ablation_runs --seeds $(SEEDS) $(if $(ROWS),--rows $(ROWS))

expansion: $(INSTALLED)  ## the rows on what captions and labels of single photos add, SEEDS runs each (minutes a run, resumable)
	$(RUN) -m idc_nb.lab.expansion_runs --seeds $(SEEDS)

expansion-curve: $(INSTALLED)  ## with and without captions of single photos at fewer and more described pairs (minutes a run, resumable)
	$(RUN) -m idc_nb.lab.expansion_runs --seeds $(SEEDS) --rows b2w b2w_cub --annotated 62 125 500

checkpoint-birds: $(INSTALLED)  ## train and pack the checkpoint for birds (hours, resumable)
	$(RUN) -m idc_nb.lab.expansion_runs --checkpoint

rivals: $(INSTALLED)  ## the systems of the paper's tables and ours, at three jitters, SEEDS seeds each -> results/rivals.json (many hours, resumable)
	$(RUN) -m idc_nb.lab.rival_runs --seeds $(SEEDS)

why: $(INSTALLED)  ## what is inside the models of `make ablation` after each stage (seed SEED) -> results/ablation_why.json (twenty minutes)
	OMP_NUM_THREADS=1 $(RUN) -m idc_nb.lab.why --seed $(SEED)

results: $(INSTALLED)  ## run what is missing in results/, SEEDS runs a row; says what is left, may be stopped (hours, resumable)
	$(RUN) tests/results.py --seeds $(SEEDS)

results-check: $(INSTALLED)  ## do the numbers and pictures of the book follow from results/, and its settings from the code? (a minute or two)
	OMP_NUM_THREADS=1 $(RUN) tests/results.py --check

lab: $(INSTALLED)  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab index.ipynb

docs: .venv/extra-docs  ## the site of all notebooks and the API -> _docs/index.html (a minute; nothing is executed)
	OMP_NUM_THREADS=1 $(RUN) docs/build.py

assignments: $(INSTALLED)  ## copies of the lessons for students, nbgrader and teachers -> assignments/
	$(RUN) tests/assignments.py

assignments-check: $(INSTALLED)  ## run the copies: solutions pass, students' copies stop at the exercises alone (minutes)
	OMP_NUM_THREADS=1 $(RUN) tests/assignments.py --check

test-browser: .venv/extra-browser  ## every lesson in JupyterLab and Chromium, and a student's first steps (minutes; CHROMIUM=path)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/browser/lab.py

test-all: test docs assignments-check test-browser  ## all that can fail

fuzz: $(INSTALLED)  ## files changed at random for the readers of other people's files (MINUTES=10 SEED=0; tests/fuzz.py)
	OMP_NUM_THREADS=1 $(RUN) tests/fuzz.py --minutes $(MINUTES) --seed $(SEED)

mutants: .venv/extra-mutants  ## change the library in many places and ask the lessons whether they notice -> results/mutants.json (M="fda mvcl"; about a minute a module)
	OMP_NUM_THREADS=1 $(RUN) tests/mutants.py $(M)

readme: $(INSTALLED)  ## README.md from index.ipynb
	$(RUN) tests/readme.py

clean:  ## remove the environment and everything made
	rm -rf .venv data runs build _docs assignments *.egg-info

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/extra-%: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	touch $@
