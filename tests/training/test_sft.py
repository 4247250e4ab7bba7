import torch
import torch.nn.functional as F

from mllmrec.training.sft import RowTrainer


def test_the_loss_is_the_plain_one_of_the_labels(model):
    torch.manual_seed(0)
    ids = torch.randint(3, 200, (3, 10))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0  # right padding
    labels = ids.clone()
    labels[0, :8] = labels[1, :5] = labels[1, 7:] = labels[2, :9] = -100
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    loss = RowTrainer.compute_loss(None, model, inputs, num_items_in_batch=7)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    plain = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum") / 7
    assert torch.allclose(loss, plain, atol=1e-6)
    loss.backward()
    assert model.lm_head.weight.grad is not None
