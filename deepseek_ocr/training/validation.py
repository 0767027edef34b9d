"""What a run measures on rows that it does not learn from."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn

from .batches import Collator, PageDataset, Steps, num_learned, plan_steps
from .step import read_together, to_device


@torch.no_grad()
def validation_loss(
    model: nn.Module,
    accelerator: Accelerator,
    dataset: PageDataset,
    collator: Collator,
    *,
    batch_size: int,
    num_workers: int = 0,
) -> float:
    """Mean cross entropy a learned token over all rows; the balance loss is left out."""
    model.eval()
    plan = plan_steps(
        range(len(dataset)),
        batch_size=batch_size,
        num_processes=accelerator.num_processes,
        process=accelerator.process_index,
    )
    total, learned = 0.0, 0
    for _, batches in read_together(accelerator, Steps(dataset, collator, plan, num_workers)):
        for batch in batches:
            output = model(**to_device(batch, accelerator), num_items_in_batch=1)
            balance = 0.0 if output.balance_loss is None else float(output.balance_loss)
            total += float(output.loss) - balance
            learned += num_learned(batch)
    model.train()
    if accelerator.num_processes > 1:
        pair = torch.tensor([total, learned], dtype=torch.float64, device=accelerator.device)
        total, learned = accelerator.reduce(pair).tolist()
    return total / learned
