"""What is written over one shared cache is what each continuation by itself would be."""

import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import Qwen3Config, Qwen3ForCausalLM, TopPLogitsWarper

from mllmrec.errors import Refusal
from mllmrec.scoring.attention import NAME
from mllmrec.scoring.choosers import Draw, pruned, tree
from mllmrec.scoring.decode import batches, beams, greedy, sample, searched
from mllmrec.scoring.packed import answer_logps

PAD, EOS, VOCAB = 0, 2, 32
ENDS = {EOS}
BUDGET = 100_000
ANSWERS = [[5, 6, EOS], [5, 7, 8, EOS], [5, EOS], [9, 6, EOS], [9, 9, 9, EOS]]


def tiny(vocabulary=VOCAB, attention=NAME):
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        use_cache=False,  # as trainers leave it
    )
    model = Qwen3ForCausalLM._from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():  # sharpen, so that a wrong mask or position cannot hide in a flat output
        for weight in model.parameters():
            weight.mul_(3)
    return model


@pytest.fixture(scope="module")
def model():
    return tiny()


def ragged(seed, samples=6):
    rng = random.Random(seed)
    return [rng.choices(range(3, VOCAB), k=rng.randint(1, 30)) for _ in range(samples)]


@torch.inference_mode()
def logps_of(model, prompt, tokens, temperature=1.0):
    """Log-probabilities at each place, (tokens, V), from a plain forward of the whole text."""
    ids = torch.tensor([[*prompt, *tokens]])
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
    return (logits.float() / temperature).log_softmax(-1)


def assert_measured(model, prompt, written, temperature=1.0):
    """The numbers of what was written are those of a plain forward."""
    every = logps_of(model, prompt, written.tokens, temperature)
    logps = every[range(len(written.tokens)), written.tokens]
    assert written.logps == pytest.approx(logps.tolist(), abs=3e-5)
    entropies = -(every.exp() * every).sum(-1)
    assert written.entropies == pytest.approx(entropies.tolist(), abs=3e-5)


def some(model, prompts, seeds, **more):
    told = {"ends": ENDS, "pad_id": PAD, "room": 8, "tokens_per_batch": BUDGET}
    return sample(model, prompts, seeds, **{**told, **more})


def tokens_of(found):
    return [[written.tokens for written in group] for group in found]


@pytest.mark.parametrize("budget", [1, 120, BUDGET])
@pytest.mark.parametrize("seed", range(3))
def test_greedy_is_what_transformers_generates(model, seed, budget):
    prompts = ragged(seed)
    width, room = max(map(len, prompts)), 12
    ids = torch.tensor([[PAD] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
    generated = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=room,
        do_sample=False,
        use_cache=True,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )[:, width:].tolist()
    done = []
    found = greedy(
        model, prompts, ends=ENDS, pad_id=PAD, room=room, tokens_per_batch=budget,
        progress=done.append,
    )  # fmt: skip
    for prompt, written, row in zip(prompts, found, generated, strict=True):
        assert written.tokens == (row[: row.index(EOS) + 1] if EOS in row else row)
        assert_measured(model, prompt, written)
    assert sum(done) == len(prompts)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("answers", [None, ANSWERS], ids=["free", "constrained"])
def test_numbers_are_those_of_a_plain_forward(model, answers, temperature):
    """Groups of several sizes, none among them; before the constraint and before top_p."""
    prompts = ragged(3)
    seeds = [list(range(n * 10, n * 10 + size)) for n, size in enumerate((3, 1, 0, 5, 2, 3))]
    told = answers and [answers] * len(prompts)
    found = some(model, prompts, seeds, temperature=temperature, top_p=0.9, answers=told)
    assert [len(group) for group in found] == [len(row) for row in seeds]
    for prompt, group in zip(prompts, found, strict=True):
        for written in group:
            assert written.tokens
            assert_measured(model, prompt, written, temperature)
    assert len({tuple(tokens) for group in tokens_of(found) for tokens in group}) > 2


@pytest.mark.parametrize("answers", [None, ANSWERS], ids=["free", "constrained"])
def test_a_rollout_does_not_depend_on_its_company(model, answers):
    prompts = ragged(4)
    seeds = [[7 * n, 7 * n + 1, 7 * n + 2] for n in range(len(prompts))]
    told = answers and [answers] * len(prompts)
    together = some(model, prompts, seeds, answers=told)
    for n, (prompt, row) in enumerate(zip(prompts, seeds, strict=True)):
        for place, seed in enumerate(row):
            ((alone,),) = some(model, [prompt], [[seed]], answers=told and told[:1])
            assert together[n][place].tokens == alone.tokens
            assert together[n][place].logps == pytest.approx(alone.logps, abs=3e-5)
    assert tokens_of(some(model, prompts, seeds, answers=told, tokens_per_batch=1)) == tokens_of(
        together
    )


def test_tokens_are_drawn_by_the_seeds_own_numbers(model):
    """Token t is where the cumulated probability passes the t-th number of Philox(seed)."""
    prompt, seed = [5, 6, 7], 123
    ((written,),) = some(model, [prompt], [[seed]], temperature=0.8, ends=())
    numbers = np.random.Generator(np.random.Philox(key=seed)).random(len(written.tokens))
    for logps, number, token in zip(
        logps_of(model, prompt, written.tokens, 0.8), numbers, written.tokens, strict=True
    ):
        assert token == np.searchsorted(logps.double().exp().cumsum(0).numpy(), number)


def agree(counts, probabilities):
    """p of the chi-square test; outcomes that are too rare for it are put together."""
    total = sum(counts.values())
    assert set(counts) <= set(probabilities)
    expected = {outcome: p * total for outcome, p in probabilities.items()}
    often = [outcome for outcome in expected if expected[outcome] >= 5]
    found = [counts[outcome] for outcome in often]
    wanted = [expected[outcome] for outcome in often]
    if len(often) < len(expected):
        found, wanted = [*found, total - sum(found)], [*wanted, total - sum(wanted)]
    return stats.chisquare(found, wanted, sum_check=False).pvalue


def many(model, prompt, draws=4000, **more):
    seeds = np.arange(draws).reshape(-1, 100).tolist()
    found = some(model, [prompt] * len(seeds), seeds, tokens_per_batch=3000, **more)
    return Counter(tuple(written.tokens) for group in found for written in group)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_draws_have_the_models_distribution(temperature):
    """Every text of up to two tokens over five words, by its exact probability."""
    small, prompt = tiny(5), [3, 4, 1]
    exact = {}
    for first, second in itertools.product(range(5), repeat=2):
        tokens = (EOS,) if first == EOS else (first, second)
        every = logps_of(small, prompt, tokens, temperature)
        exact[tokens] = every[range(len(tokens)), tokens].sum().exp().item()
    assert sum(exact.values()) == pytest.approx(1, abs=1e-5)
    assert agree(many(small, prompt, room=2, temperature=temperature), exact) > 1e-3


def constrained(model, prompt, temperature=1.0):
    """Each answer's probability: the product of softmaxes over the children of its nodes."""
    exact = {}
    for answer in ANSWERS:
        every, p = logps_of(model, prompt, answer, temperature), 1.0
        for place, token in enumerate(answer):
            children = {a[place] for a in ANSWERS if a[:place] == answer[:place] and a[place:]}
            p *= (every[place, token].exp() / every[place, sorted(children)].exp().sum()).item()
        exact[tuple(answer)] = p
    return exact


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_constrained_draws_have_the_policys_distribution(model, temperature):
    prompt = [5, 11, 3]
    exact = constrained(model, prompt, temperature)
    assert sum(exact.values()) == pytest.approx(1, abs=1e-5)
    assert sorted(exact.values())[-2] > 0.02  # so that there is something to draw
    counts = many(model, prompt, answers=[ANSWERS] * 40, temperature=temperature)
    assert agree(counts, exact) > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_tokens_that_lead_on_are_those_of_each_continuations_node(seed):
    """By brute force: one row a prompt for the first token, then one a continuation."""
    rng, prompts, most = random.Random(seed), 3, 4
    tries = [tree([[5, n % 4 + 6, *([9] * (n % 3)), EOS] for n in range(12 + b)]) for b in (0, 5)]
    tries = [tries[rng.randrange(2)] for _ in range(prompts)]
    draw = Draw([[7 * b + g for g in range(most)] for b in range(prompts)], 6, 1.0, tries, PAD)
    for step in range(6):
        count = most if step else 1
        scores = torch.zeros(prompts * count, VOCAB)
        found = draw.leads_on(count, scores)
        for b, g in itertools.product(range(prompts), range(count)):
            node = draw.nodes[b][g]
            expected = {*node} if node else {PAD}
            assert {*found[b * count + g].nonzero()[:, 0].tolist()} == expected
        tokens = draw(torch.randn(prompts, count, VOCAB).log_softmax(-1))
        assert tokens.shape == (prompts, most)
    assert all(node == {} for row in draw.nodes for node in row)


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_a_row_for_all_of_a_prompt_draws_as_a_row_for_each(top_p):
    logps = torch.randn(2, 1, VOCAB, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    seeds = [[n, n + 1, n + 2] for n in (3, 30)]
    for tries in (None, [tree(ANSWERS)] * 2):
        once, each = (Draw(seeds, 4, top_p, tries, PAD) for _ in range(2))
        assert once(logps).equal(each(logps.expand(2, 3, VOCAB)))


def test_tries_are_asked_for_when_their_prompts_turn_comes(model):
    """One for each prompt; what is written is what answers in lists give, and beams alike."""
    prompts, seeds = ragged(6), [[n, n + 100] for n in range(6)]
    root, asked = tree(ANSWERS), []

    def trie_of(i):
        asked.append(i)
        return pruned(root, [ANSWERS[i % 5]])

    told = [[answer for answer in ANSWERS if answer != ANSWERS[i % 5]] for i in range(6)]
    for budget in (1, BUDGET):
        lazily = some(model, prompts, seeds, trie_of=trie_of, tokens_per_batch=budget)
        assert sorted(asked) == [*range(6)]
        listed = some(model, prompts, seeds, answers=told, tokens_per_batch=budget)
        assert tokens_of(lazily) == tokens_of(listed)
        asked.clear()
    few = {"pad_id": PAD, "tokens_per_batch": 1}
    found = searched(model, prompts, trie_of, 2, room=4, **few)
    assert tokens_of(found) == tokens_of(beams(model, prompts, told, 2, **few))


@pytest.mark.parametrize("constrained", [False, True])
def test_the_constraint_comes_first_then_temperature_then_top_p(model, constrained):
    """The first token's distribution by hand: the smallest set that holds top_p, renormalised."""
    prompt, temperature, top_p = [9, 4, 3], 1.5, 0.7
    p = logps_of(model, prompt, [0], temperature)[0].double().exp()
    best = p.argsort(descending=True).tolist()
    told = {}
    if constrained:  # all of these are within top_p before the constraint, not all behind it
        assert p[best[:4]].sum() < top_p
        told = {"answers": [[[token] for token in best[:4]]] * 40, "ends": best[:4]}
        p[best[4:]] = 0
    p /= p.sum()
    kept, mass = [], 0.0
    for token in best:
        if mass < top_p:
            kept.append(token)
            mass += p[token].item()
    assert len(kept) == 3 if constrained else len(kept) > 4
    warped = TopPLogitsWarper(top_p)(None, p.log()[None])[0]
    assert {token for token in range(VOCAB) if warped[token] > -torch.inf} == set(kept)
    counts = many(model, prompt, room=1, temperature=temperature, top_p=top_p, **told)
    assert agree(counts, {(token,): p[token].item() / mass for token in kept}) > 1e-3


def exact_ranking(model, prompts, answers):
    sums = answer_logps(model, prompts, answers, BUDGET)
    return [
        sorted(zip(row, map(tuple, these), strict=True), reverse=True)
        for row, these in zip(sums, answers, strict=True)
    ]


def assert_ranked(found, exact):
    for group, row in zip(found, exact, strict=True):
        assert [tuple(written.tokens) for written in group] == [tokens for _, tokens in row]
        sums = [sum(written.logps) for written in group]
        assert sums == pytest.approx([score for score, _ in row], abs=1e-4)


@pytest.mark.parametrize("budget", [1, 400, BUDGET])
def test_as_many_beams_as_answers_are_the_exact_ranking(model, budget):
    rng = random.Random(5)
    prompts = ragged(5)
    pool = [[*tokens, EOS] for n in (1, 2, 4) for tokens in itertools.product((5, 6, 7), repeat=n)]
    answers = [rng.sample(pool, 20) for _ in prompts]
    found = beams(model, prompts, answers, 20, pad_id=PAD, tokens_per_batch=budget)
    assert_ranked(found, exact_ranking(model, prompts, answers))
    for prompt, group in zip(prompts, found, strict=True):
        for written in group:
            assert_measured(model, prompt, written)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_narrow_beams_are_those_of_a_search_by_hand(model, width):
    """Brute force: keep the best beginnings of each length, every one scored by itself."""
    rng = random.Random(6)
    prompts = ragged(6)
    pool = [[*tokens, EOS] for n in (1, 2, 3) for tokens in itertools.product((5, 6, 7), repeat=n)]
    answers = [rng.sample(pool, 25) for _ in prompts]
    found = beams(model, prompts, answers, width, pad_id=PAD, tokens_per_batch=BUDGET)
    wanted = []
    for prompt, these in zip(prompts, answers, strict=True):
        kept = [()]
        for length in range(1, 5):
            grown = {
                tuple(answer[:length]) for answer in these if tuple(answer[: length - 1]) in kept
            }
            grown |= {beginning for beginning in kept if beginning[-1:] == (EOS,)}
            scores = {
                one: logps_of(model, prompt, one)[range(len(one)), one].sum() for one in grown
            }
            kept = sorted(scores, key=scores.get, reverse=True)[:width]
        wanted.append([(scores[one].item(), one) for one in kept])
    assert_ranked(found, wanted)


def test_answers_that_are_given_twice_are_found_once(model):
    (found,) = beams(
        model, [[3]], [[[5, EOS], [5, EOS], [6, EOS]]], 2, pad_id=PAD, tokens_per_batch=1
    )
    assert sorted(written.tokens for written in found) == [[5, EOS], [6, EOS]]
    with pytest.raises(ValueError, match="fewer distinct answers than 3 beams"):
        beams(model, [[3]], [[[5, EOS], [5, EOS], [6, EOS]]], 3, pad_id=PAD, tokens_per_batch=1)


def test_writing_stops_at_an_end_and_at_the_room(model):
    prompts = ragged(8, samples=20)
    free = some(model, prompts, [[n] for n in range(20)], ends=(), room=9)
    assert {len(written.tokens) for (written,) in free} == {9}
    ends = {token for token in range(VOCAB) if token % 5 == 2}
    found = some(model, prompts, [[n] for n in range(20)], ends=ends, room=9)
    for (written,), (whole,) in zip(found, free, strict=True):
        cut = [place for place, token in enumerate(whole.tokens, 1) if token in ends]
        assert written.tokens == whole.tokens[: min(cut, default=9)]
    assert {len(written.tokens) for (written,) in found} > {9}


def calls(model, work):
    """The shapes of what the model is fed by ``work``."""
    seen = []
    handle = model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    work()
    handle.remove()
    return seen


def test_a_prompt_is_read_once_however_many_rollouts_it_has(model):
    prompt = list(range(3, 23))
    told = {"answers": [[[5, 6, EOS], [5, 7, EOS]]]}
    seen = calls(model, lambda: some(model, [prompt], [list(range(6))], **told))
    assert seen == [(1, 19), (1, 1), (1, 6), (1, 6)]  # the end is not fed


def test_batches_keep_to_the_budget_and_hold_every_prompt_once():
    rng = random.Random(7)
    lengths, columns = ([rng.randint(1, 30) for _ in range(40)] for _ in range(2))
    found = list(batches(lengths, columns, 120))
    assert sorted(i for batch in found for i in batch) == list(range(40))
    for batch in found:
        widest = max(lengths[i] for i in batch) + max(columns[i] for i in batch)
        assert len(batch) == 1 or len(batch) * widest <= 120


def test_a_lora_adapter_takes_part_also_under_gradient_checkpointing(model):
    """As GRPO's trainer leaves it: training, with dropout, checkpoints and gradients of inputs."""
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, lora_dropout=0.5
    )
    adapted = peft.get_peft_model(tiny(), settings)
    adapted.train()
    adapted.gradient_checkpointing_enable()
    adapted.enable_input_require_grads()
    prompts, seeds = ragged(9), [[n, n + 100] for n in range(6)]
    found = some(adapted, prompts, seeds)
    ranked = beams(adapted, prompts, [ANSWERS] * 6, 5, pad_id=PAD, tokens_per_batch=BUDGET)
    assert adapted.training and adapted.is_gradient_checkpointing
    adapted.eval()
    for prompt, group in zip(prompts, found, strict=True):
        for written in group:
            assert_measured(adapted, prompt, written)
    assert_ranked(ranked, exact_ranking(adapted, prompts, [ANSWERS] * 6))
    with adapted.disable_adapter():
        assert tokens_of(some(adapted, prompts, seeds)) == tokens_of(some(model, prompts, seeds))
    assert tokens_of(found) != tokens_of(some(model, prompts, seeds))


def test_nothing_to_do_and_what_cannot_be_done(model):
    assert some(model, [], []) == []
    assert some(model, [[3]], [[]]) == [[]]
    with pytest.raises(ValueError, match="no tokens"):
        some(model, [[]], [[1]])
    with pytest.raises(ValueError, match="no answers"):
        some(model, [[3]], [[1]], answers=[[]])
    for answer in ([5], [EOS, 5, EOS], [5] * 8 + [EOS], []):
        with pytest.raises(ValueError, match="an answer of"):
            some(model, [[3]], [[1]], answers=[[answer]])
    with pytest.raises(Refusal, match="attention"):
        some(tiny(attention="eager"), [[3]], [[1]])
