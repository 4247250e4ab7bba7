from mllmrec.artifacts import Store
from tests.launching import SMALL, config, make


def test_prompts_and_answers_are_printed_as_a_model_reads_them(tmp_path, capsys):
    words = ("stage=show", *SMALL, "show.samples=2", "prompt=reference")
    made = make(Store(root=tmp_path), *words)
    config(*words).goal.show(made["show"].folder)
    told = capsys.readouterr().out
    assert told.count("--- answer\n[ITEM_") == 2
    assert told.count("Candidate") == 2
    answer = told.split("--- answer\n")[1].split("\n")[0]
    assert answer in told.split("--- answer")[0]  # the target is one of the candidates
