"""One training, in one process or in several on the CPU.

`train_all(out, world)` writes what test_ddp.py compares to the folder `out`. As a command, which
Lightning starts again for each further process: python ddp_run.py OUT WORLD
"""

import json
import sys
from functools import partial
from pathlib import Path
import torch
import torch.nn.functional as F
from torch import distributed
import lightning as L
from idc_nb.decode import caption_share, merge_shares
from idc_nb.finetune import Validate
from idc_nb.gpu import from_others
from idc_nb.metrics import caption_score
from idc_nb.mlm import IGNORE, mlm_loss
from idc_nb.model import DifferenceModel
from idc_nb.mvcl import mvcl_loss
from idc_nb.negatives import NEGATIVE_KINDS, Negative
from idc_nb.pretrain import Pretraining, TaskBatches
from idc_nb.training import TrainConfig, fit
from idc_nb.vocab import BOS, MASK, PAD
from made_up import config, finetuning, made_up


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


class Watch(L.Callback):
    "Keeps the first gradient, a random number of each step, and the tasks of all steps."

    def __init__(self, out, name):
        self.out, self.name, self.grad, self.dice, self.tasks = out, name, None, [], []

    def on_before_optimizer_step(self, trainer, stage, optimizer):
        if self.grad is None:
            grads = {n: p.grad for n, p in stage.named_parameters()}
            self.grad = {n: grad.clone() for n, grad in grads.items() if grad is not None}

    def on_train_batch_start(self, trainer, stage, batch, index):
        self.tasks.append([batch.get('task'), trainer.global_step, len(batch['img1'])])

    def on_train_batch_end(self, *_):
        self.dice.append(torch.rand(1).item())

    def on_train_end(self, trainer, stage):
        torch.save(self.grad, self.out / f'{self.name}_grad_{rank()}.pt')
        write(self.out / f'{self.name}_watch', dict(dice=self.dice, tasks=self.tasks))


def write(stem, what):  # a file for each rank
    Path(f'{stem}_{rank()}.json').write_text(json.dumps(what))


def mask_by_word(ids, n_words, share=0.15, generator=None):
    "Masks that depend on nothing but the words, so that a share of a batch has those of the whole."
    chosen = (ids != PAD) & (ids != BOS) & ((ids * 7 + torch.arange(ids.shape[1])) % 4 == 0)
    return torch.where(chosen, MASK, ids), ids.masked_fill(~chosen, IGNORE)


def choose_seven(batch, cells, share=0.15, generator=None):
    "The same seven cells of each pair."
    chosen = torch.zeros(batch, 2, cells, dtype=torch.bool)
    chosen[:, 0, 3:10] = True
    return chosen


def run_training(out, world, name, stage, batches, *callbacks):
    fit(
        stage,
        batches,
        out / name,
        callbacks=[Watch(out, name), *callbacks],
        accelerator='cpu',
        devices=world,
        enable_progress_bar=False,
    )
    torch.save(stage.state_dict(), out / f'{name}_{rank()}.pt')


def train_words(out, world, data):
    "Fine-tuning: every word is asked, nothing is drawn. 7 pairs for validation: 2 do not divide 7."
    triplets, store, vocab = data
    judge = Validate(caption_score(triplets[:7], store, vocab), out / 'words', every=2)
    stage, batches = finetuning(*data, steps=4)
    run_training(out, world, 'words', stage, batches, judge)
    share = caption_share(stage.model, vocab, triplets[:7], store, rank(), world)
    write(out / 'said', merge_shares(share))
    write(out / 'best', [judge.best, judge.waited])


def train_one_task(out, world, data, task):
    """MLM: the number of words differs from rank to rank. MVCL: the cells of all ranks are
    negatives. In both, the judge is not used."""
    triplets, store, vocab = data
    torch.manual_seed(0)
    c = TrainConfig(2, 6, 2e-3, warmup=3)
    losses = dict(
        mlm=partial(mlm_loss, cover=mask_by_word), mvcl=partial(mvcl_loss, choose=choose_seven)
    )
    options = dict(resting=('mlm',), gather=from_others, losses=losses)
    stage = Pretraining(DifferenceModel(config(vocab)), c, **options)
    batches = TaskBatches(triplets, store, vocab, 6, 2, tasks={task: 1})
    run_training(out, world, task, stage, batches)


def train_mix(out, world, data):
    "Three tasks: which one did each rank get?"
    triplets, store, vocab = data
    wrong = [Negative('the red ball has gone', NEGATIVE_KINDS[0])] * 2
    batches = TaskBatches(
        triplets,
        store,
        vocab,
        12,
        12,
        tasks=dict(mlm=1, mvcl=1, fda=1),
        negatives={t.id: wrong for t in triplets},
    )
    stage = Pretraining(DifferenceModel(config(vocab)), TrainConfig(12, 12, 2e-3, warmup=3))
    run_training(out, world, 'mix', stage, batches)


def row_against_all(mine, others):  # each row against all rows of the batch
    keys = torch.cat([mine, others])
    similarity = F.normalize(mine, dim=-1) @ F.normalize(keys, dim=-1).T
    return F.cross_entropy(similarity / 0.1, torch.arange(len(mine)), reduction='sum')


def contrast_rows(out, world):
    "Negatives of other ranks: 5 rows on the first, 3 on the second."
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    if world == 1:
        row_against_all(x, x[:0]).backward()
    else:
        mine = x.split([5, 3])[rank()]
        row_against_all(mine, from_others(mine)).backward()
        distributed.all_reduce(x.grad)
    torch.save(x.grad, out / f'contrast_{rank()}.pt')


def train_all(out, world):
    torch.set_num_threads(1)
    data = made_up(out / 'store')
    train_words(out, world, data)
    train_one_task(out, world, data, 'mlm')
    train_one_task(out, world, data, 'mvcl')
    train_mix(out, world, data)
    contrast_rows(out, world)


if __name__ == '__main__':
    train_all(Path(sys.argv[1]), int(sys.argv[2]))
