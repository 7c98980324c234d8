"""The rules on results, systems, submissions and rounds."""

from pitboard.compliance.rule import Rule

_PACKAGE = "mlperf-logging, package_checker/package_checker.py"
_SEEDS = "mlperf-logging, package_checker/seed_checker.py"
_POWER = "mlperf-logging, package_checker/power_checker.py"
_RCP = "mlperf-logging, rcp_checker/rcp_checker.py"
_SYSTEM = "mlperf-logging, system_desc_checker/system_desc_checker.py"
_REPOSITORY = "mlperf-logging, repo_checker/repo_checker.py"
_POLICIES = "MLCommons training policies and submission rules; the official checker does not look at it"
_OURS = "Pitboard; the official checker ends in a traceback or does not look"

RESULT_RULES = (
    Rule(
        code="result-runs",
        title="The number of runs is not the benchmark's",
        meaning="A result has exactly as many logs as MLCommons fixes for its benchmark.",
        why="Time-to-train varies from run to run; choosing among more runs would choose luck.",
        where=_PACKAGE,
    ),
    Rule(
        code="result-invalid-runs",
        title="Too many runs do not comply",
        meaning="More runs are invalid than the olympic mean drops: one, or four of unet3d.",
        why="A run that does not count takes the place of the slowest; with more there is no mean.",
        where=_PACKAGE,
    ),
    Rule(
        code="result-dropped",
        title="A run does not comply and is dropped",
        meaning="As many runs as the olympic mean drops may be invalid or not converge.",
        why="The slowest run is dropped anyway; this says which one was, and that no other may fail.",
        where=_PACKAGE,
    ),
    Rule(
        code="result-settings",
        title="The runs log different settings",
        meaning=(
            "A setting (submission_*, opt_*, batch size, …) differs between the runs. An error for "
            "benchmark and batch size, where the official checker ends in a traceback; else a warning."
        ),
        why="The runs of a result repeat one experiment; only the seed may differ.",
        where=_POLICIES,
    ),
    Rule(
        code="result-names",
        title="The logs name another benchmark or division",
        meaning="The logs' benchmark is not the folder's name, or their division not the description's.",
        why="The official tools take one from the folder, the other from the log, and judge a mixture.",
        where=_OURS,
    ),
    Rule(
        code="result-benchmark",
        title="The folder is no benchmark of the round",
        meaning="The official checker passes over a folder whose name it does not know; we check its logs.",
        why="A misspelt folder would leave the result out of the tables in silence.",
        where=_PACKAGE,
    ),
    Rule(
        code="result-stray",
        title="A file among the logs is not named as one",
        meaning="Beside result_N.txt, scaling.json, package_checker_params and power/ nothing is expected.",
        why="A log under another name is not counted.",
        where=_PACKAGE,
    ),
    Rule(
        code="result-scaling-damaged",
        title="scaling.json cannot be read",
        meaning="scaling.json is not a JSON object with a positive number as scaling_factor.",
        why="The score is multiplied by it.",
        where=_OURS,
    ),
    Rule(
        code="result-scaling-differs",
        title="scaling.json is not what the RCP test gives",
        meaning="The factor in the file is another than the test's with today's reference points.",
        why="Either the review committee decided so, or the file is a leftover of an older check.",
        where=_OURS,
    ),
    Rule(
        code="seed-missing",
        title="A run logs no seed",
        meaning="Every run of a closed result logs at least one seed through mllog.",
        why="Without it nobody can tell that the runs are independent.",
        where=_SEEDS,
    ),
    Rule(
        code="seed-unreadable",
        title="A run's seed cannot be used",
        meaning="A seed is no whole number, names no line of source, or is in a log with parse errors.",
        why="Seeds are compared by value and origin.",
        where=_SEEDS,
    ),
    Rule(
        code="seed-repeated",
        title="A seed is used twice",
        meaning="The same seed was logged from the same line of source before, in this or another run.",
        why="Equal seeds repeat one draw; the mean would be that of fewer runs.",
        where=_SEEDS,
    ),
    Rule(
        code="seed-several",
        title="A run logs several seeds",
        meaning="More than one event 'seed' in a log.",
        why="It is allowed, but often means that every rank logs.",
        where=_SEEDS,
    ),
    Rule(
        code="rcp-too-fast",
        title="Convergence is faster than the reference's",
        meaning=(
            "The olympic mean of the samples to the target is below what a one-sided t-test (5 %) allows "
            "against the reference convergence points (RCPs) at the batch size, interpolated if need be."
        ),
        why="Closed results race hardware and software on the same mathematics; this catches another one.",
        where=_RCP,
    ),
    Rule(
        code="rcp-missing",
        title="There is no reference for this batch size",
        meaning="The batch size lies outside the reference points, and smaller ones converge no slower.",
        why="Convergence can be judged only between points that the reference has run.",
        where=_RCP,
    ),
    Rule(
        code="rcp-convergence",
        title="Too many runs did not converge",
        meaning="More runs missed the target than the olympic mean drops.",
        why="There is no mean of the samples to the target.",
        where=_RCP,
    ),
    Rule(
        code="rcp-samples-missing",
        title="A run does not say after how many samples it converged",
        meaning="The last evaluation before run_stop lacks samples_count (or epoch_num).",
        why="The RCP test compares samples (or epochs) to the target.",
        where=_OURS,
    ),
    Rule(
        code="rcp-impossible",
        title="The RCP test cannot be made",
        meaning="There is no common batch size, no reference point, or there are too few runs.",
        why="A closed result is valid only with its convergence tested.",
        where=_OURS,
    ),
    Rule(
        code="rcp-bypassed",
        title="A failed RCP test was waived",
        meaning="package_checker_params asks for rcp-bypass, and the test would have failed.",
        why="The review committee decides; whoever reads the result should know.",
        where=_RCP,
    ),
    Rule(
        code="power-missing",
        title="A run has no power results",
        meaning="The result has a folder 'power', without a folder for this run.",
        why="Energy is averaged over the same runs as time.",
        where=_POWER,
    ),
    Rule(
        code="power-names",
        title="Power files are not numbered from 0 up",
        meaning="The files of each kind, node_N and sw_N, are numbered from 0 without gaps.",
        why="A gap is a meter whose file is missing.",
        where=_POWER,
    ),
    Rule(
        code="power-meters",
        title="A run was measured with other meters",
        meaning="All runs have as many node and switch files as most of them.",
        why="Energy without one of the meters is too low.",
        where=_POWER,
    ),
    Rule(
        code="system-missing",
        title="A system with results has no description",
        meaning="Every folder in results/ has a systems/<system>.json of its name.",
        why="Without it nobody knows what was measured; the official checker ends in a traceback.",
        where=_PACKAGE,
    ),
    Rule(
        code="system-unused",
        title="A description has no results",
        meaning="systems/<system>.json without results/<system>/.",
        why="Results may be missing from the copy, or the names differ by a letter.",
        where=_OURS,
    ),
    Rule(
        code="system-damaged",
        title="A description cannot be read",
        meaning="The file is not one JSON object in UTF-8 of a sane size.",
        why="The official checker ends in a traceback.",
        where=_OURS,
    ),
    Rule(
        code="system-field-missing",
        title="A mandatory field is missing",
        meaning="A description has every field that the round's rules name; a field may be empty.",
        why="Readers compare systems field by field.",
        where=_SYSTEM,
    ),
    Rule(
        code="system-field-text",
        title="A field is not text",
        meaning="The fields that go into a table are strings, numbers included.",
        why="The official checker joins them as text and ends in a traceback.",
        where=_SYSTEM,
    ),
    Rule(
        code="system-field-count",
        title="A count is not a whole number",
        meaning="number_of_nodes, host_processors_per_node and accelerators_per_node are whole numbers.",
        why="The tables multiply them; the official summarizer ends in a traceback.",
        where="mlperf-logging, result_summarizer/result_summarizer.py",
    ),
    Rule(
        code="system-status",
        title="The availability is none of the rules'",
        meaning="Since round 4.0 'status' is one of four categories, letter for letter.",
        why="Tables are split by availability.",
        where=_SYSTEM,
    ),
    Rule(
        code="system-division",
        title="The division is neither closed nor open",
        meaning="'division' has another word in it.",
        why="The official checker then takes the result as not closed and skips seeds and convergence.",
        where=_OURS,
    ),
    Rule(
        code="package-no-results",
        title="The submission has no results/",
        meaning="Logs lie in results/<system>/<benchmark>/.",
        why="The official checker ends in a traceback.",
        where=_PACKAGE,
    ),
    Rule(
        code="package-no-systems",
        title="The submission has no systems/",
        meaning="Descriptions lie in systems/<system>.json.",
        why="The official checker ends in a traceback.",
        where=_PACKAGE,
    ),
    Rule(
        code="package-no-code",
        title="The code of a benchmark is missing",
        meaning=(
            "A submission has its code in benchmarks/<benchmark>/. A warning, as the official checker passes "
            "without; one for all where no submission of a tree has code, as in copies of results only."
        ),
        why="Others must be able to reproduce a result.",
        where=_POLICIES,
    ),
    Rule(
        code="package-stray",
        title="A file or folder does not belong here",
        meaning="Something lies where the layout has no place for it.",
        why="It is not checked, and may be a result in the wrong place.",
        where=_OURS,
    ),
    Rule(
        code="package-link",
        title="A symbolic link cannot be followed",
        meaning="A link leads nowhere, out of the checked folder, or to a folder.",
        why="A submission must be whole in itself.",
        where=_REPOSITORY,
    ),
    Rule(
        code="package-name",
        title="A name is bad for Git",
        meaning="A file's or folder's name starts with a dot, or holds a space or an unprintable character.",
        why="Submissions are exchanged as Git repositories and handled by scripts.",
        where=_REPOSITORY,
    ),
    Rule(
        code="package-oversized",
        title="A file is too large",
        meaning="Files may have up to 50 MiB.",
        why="Git hosting refuses larger ones.",
        where=_REPOSITORY,
    ),
    Rule(
        code="package-unreadable",
        title="A folder cannot be looked at",
        meaning="A folder cannot be opened, or is nested too deeply.",
        why="What is in it was not checked.",
        where=_OURS,
    ),
)
