"""timm is imported without torch's compiler; the compiler and torchvision work afterwards."""

import subprocess
import sys
import pytest
import torch
from idc_nb.lab.weights import _timm, timm_net

PROGRAMS = {
    'a compiler that is loaded before torch works': '''
from idc_nb.lab.weights import _compiler_later
with _compiler_later():
    import torch._dynamo
import torch
assert torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)) == 2
''',
    'the compiler and torchvision work after timm': '''
import sys, torch
from idc_nb.lab.weights import _timm
_timm()
assert 'torch._dynamo' not in sys.modules and 'torch._dynamo.utils' not in sys.modules

import torchvision
from torchvision import ops, tv_tensors
maps, boxes = torch.rand(1, 4, 16, 16), torch.tensor([[0.0, 1, 1, 9, 9]])
regions = ops.roi_align(maps, boxes, 3)
assert regions.shape == (1, 4, 3, 3) and len(ops.nms(boxes[:, 1:], torch.ones(1), 0.5)) == 1
assert sys.modules['torchvision.ops.roi_align'].is_compile_supported('cpu') in (True, False)
assert 'torch._dynamo' in sys.modules  # loaded by the call

from torch._dynamo.utils import counters, is_compile_supported
assert sys.modules['torchvision.ops.roi_align'].is_compile_supported('cpu') == is_compile_supported(
    'cpu'
)
align = torch.compile(lambda x: ops.roi_align(x, boxes, 3) + 1, backend='eager')
assert torch.allclose(align(maps), regions + 1)
assert counters['frames']['ok'] >= 1
box = tv_tensors.BoundingBoxes([[0, 0, 2, 2]], format='XYXY', canvas_size=(4, 4))
wrapped = torch.compile(lambda x: tv_tensors.wrap(x + 1, like=box), backend='eager')(boxes[:, 1:])
assert isinstance(wrapped, tv_tensors.BoundingBoxes)
''',
    'an import that fails leaves nothing behind': '''
import sys, torch
from idc_nb.lab.weights import _compiler_later
disable = torch.compiler.disable
try:
    with _compiler_later():
        assert torch.compiler.disable is not disable
        import a_module_that_is_not_there
except ImportError:
    pass
assert torch.compiler.disable is disable and 'torch._dynamo.utils' not in sys.modules
assert torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)) == 2
''',
    'a library that needs the compiler gets it': '''
import sys, torch
from idc_nb.lab.weights import _Later, _compiler_later, _timm
with _compiler_later():
    marked = torch.compiler.disable(lambda x: x + 1)
    because = torch.compiler.disable(lambda x: x + 1, reason='a word')
    from torch._dynamo.utils import counters
    import torch._dynamo
assert not isinstance(sys.modules['torch._dynamo.utils'], _Later)
assert marked(1) == because(1) == 2
disable = torch.compiler.disable
with _compiler_later():
    assert torch.compiler.disable is disable  # it is loaded: nothing is replaced
_timm()
assert torch.compile(lambda x: marked(x) * 2, backend='eager')(torch.ones(1)) == 4
''',
}
# Each program in a process of its own, a fork of one that has loaded torch alone (or nothing).
IN_FORKS = """
import os, sys, traceback
for name, code in zip(sys.argv[1::2], sys.argv[2::2]):
    if 'before torch' not in name:
        import torch
    child = os.fork()
    if child == 0:
        try:
            exec(code, {})
        except BaseException:
            print(f'{name}: {traceback.format_exc()}', flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(f'{name}: died', flush=True)
"""


@pytest.fixture(scope='module')
def failures():  # what the programs complained of
    arguments = [text for program in PROGRAMS.items() for text in program]
    command = [sys.executable, '-c', IN_FORKS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(__import__('os'), 'fork'), reason='needs fork')
@pytest.mark.parametrize('name', PROGRAMS)
def test_compiler(failures, name):
    assert name not in failures, failures


@pytest.mark.parametrize('name', ['tf_efficientnet_lite0', 'mobilenetv3_small_100', 'resnet18'])
def test_cut_networks_give_the_same_maps(name):
    x = torch.randn(1, 3, 97, 130)
    for stage in range(5):
        torch.manual_seed(0)
        whole = _timm().create_model(name, features_only=True, out_indices=(stage,)).eval()
        cut = timm_net(name, stage, made_up=True)
        with torch.inference_mode():
            (theirs,), (ours,) = whole(x), cut(x)
        assert torch.equal(ours, theirs), stage
    assert timm_net(name, -1, made_up=True)(x)[0].shape == theirs.shape
