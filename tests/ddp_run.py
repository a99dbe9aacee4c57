"""One training in argv[2] processes on the CPU; what test_ddp.py compares is written to the folder argv[1]."""

import json
import sys
from pathlib import Path
import torch
import torch.nn.functional as F
from torch import distributed
import lightning as L
import idc_nb.mlm, idc_nb.mvcl
from idc_nb.mlm import IGNORE
from idc_nb.negatives import NEGATIVE_KINDS, Negative
from idc_nb.pretrain import Pretraining, TaskBatches
from idc_nb.training import TrainConfig, fit
from idc_nb.finetune import Validate
from idc_nb.metrics import caption_score
from idc_nb.gpu import from_others
from idc_nb.decode import merge_shares, caption_share
from idc_nb.vocab import BOS, MASK, PAD
from idc_nb.model import DifferenceModel
from made_up import config, finetuning, made_up

OUT, WORLD = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
rank = lambda: distributed.get_rank() if distributed.is_initialized() else 0


class Watch(L.Callback):
    "Keeps the first gradient, the dice and the tasks of every step."

    def __init__(self, name):
        self.name, self.grad, self.dice, self.tasks = name, None, [], []

    def on_before_optimizer_step(self, trainer, stage, optimizer):
        if self.grad is None:
            self.grad = {
                n: p.grad.clone() for n, p in stage.named_parameters() if p.grad is not None
            }

    def on_train_batch_start(self, trainer, stage, batch, index):
        self.tasks.append([batch.get('task'), trainer.global_step, len(batch['img1'])])

    def on_train_batch_end(self, *_):
        self.dice.append(torch.rand(1).item())

    def on_train_end(self, trainer, stage):
        torch.save(self.grad, OUT / f'{self.name}_grad_{rank()}.pt')
        (OUT / f'{self.name}_watch_{rank()}.json').write_text(
            json.dumps(dict(dice=self.dice, tasks=self.tasks))
        )


def by_word(
    ids, n_words, share=0.15, generator=None
):  # masks that depend on nothing but the words: shares of a batch keep theirs
    chosen = (ids != PAD) & (ids != BOS) & ((ids * 7 + torch.arange(ids.shape[1])) % 4 == 0)
    return torch.where(chosen, MASK, ids), ids.masked_fill(~chosen, IGNORE)


def seven(batch, cells, share=0.15, generator=None):  # of each pair the same seven cells
    chosen = torch.zeros(batch, 2, cells, dtype=torch.bool)
    chosen[:, 0, 3:10] = True
    return chosen


def run_training(name, stage, batches, *callbacks, **more):
    fit(
        stage,
        batches,
        OUT / name,
        callbacks=[Watch(name), *callbacks],
        accelerator='cpu',
        devices=WORLD,
        enable_progress_bar=False,
        **more,
    )
    torch.save(stage.state_dict(), OUT / f'{name}_{rank()}.pt')


def row_against_all(mine, others):  # each row against all rows of the batch
    keys = torch.cat([mine, others])
    return F.cross_entropy(
        F.normalize(mine, dim=-1) @ F.normalize(keys, dim=-1).T / 0.1,
        torch.arange(len(mine)),
        reduction='sum',
    )


if __name__ == '__main__':
    triplets, store, vocab = made_up(OUT / 'store')
    # every word asked for, nothing drawn; validation on 7 pairs, which 2 do not divide
    judge = Validate(caption_score(triplets[:7], store, vocab), OUT / 'words', every=2)
    stage, batches = finetuning(triplets, store, vocab, steps=4)
    run_training('words', stage, batches, judge)
    (OUT / f'said_{rank()}.json').write_text(
        json.dumps(
            merge_shares(caption_share(stage.model, vocab, triplets[:7], store, rank(), WORLD))
        )
    )
    (OUT / f'best_{rank()}.json').write_text(json.dumps([judge.best, judge.waited]))
    # MLM with word counts that differ from rank to rank; MVCL against the cells of all ranks; the judge is unused in both
    idc_nb.mlm.mask_words, idc_nb.mvcl.choose_cells = by_word, seven
    for task in ('mlm', 'mvcl'):
        torch.manual_seed(0)
        stage = Pretraining(
            DifferenceModel(config(vocab)),
            TrainConfig(2, 6, 2e-3, warmup=3),
            resting=('mlm',),
            gather=from_others,
        )
        run_training(task, stage, TaskBatches(triplets, store, vocab, 6, 2, tasks={task: 1}))
    # the mix: which task each rank got
    false = {t.id: [Negative('the red ball has gone', NEGATIVE_KINDS[0])] * 2 for t in triplets}
    batches = TaskBatches(
        triplets, store, vocab, 12, 12, tasks=dict(mlm=1, mvcl=1, fda=1), negatives=false
    )
    run_training(
        'mix',
        Pretraining(DifferenceModel(config(vocab)), TrainConfig(12, 12, 2e-3, warmup=3)),
        batches,
    )
    # negatives of other ranks: 5 rows here, 3 there
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mine = x[:5] if WORLD == 1 else x[[slice(0, 5), slice(5, 8)][rank()]]
    (
        row_against_all(x, x[:0]) if WORLD == 1 else row_against_all(mine, from_others(mine))
    ).backward()
    if WORLD > 1:
        distributed.all_reduce(x.grad)
    torch.save(x.grad, OUT / f'contrast_{rank()}.pt')
