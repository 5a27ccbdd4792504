"""Makes the files of this folder with torch, numpy and omegaconf: python make.py FOLDER

Those that are here were made with torch 2.15, numpy 2.4 and Python 3.11; another run gives other random
weights. expected.json is what torch itself reads of them: conformance/torch_reference.py with all of them
but package.pt, which is refused, and those of the keys, which saved_test.go knows."""
import collections, dataclasses, functools, os, sys, typing
import numpy as np
import torch, torch.nn as nn, torch.nn.functional as F

os.chdir(sys.argv[1])


# Modules whose activation is a function, of Python or of C.
class A(nn.Module):
    def __init__(s, f):
        super().__init__()
        s.l, s.act = nn.Linear(2, 2), f


torch.save(A(F.relu), 'ok_F_relu.pt')
torch.save(A(torch.relu), 'torch_relu.pt')
torch.save(A(F.gelu), 'F_gelu.pt')
torch.save(nn.TransformerEncoderLayer(4, 2, 4, activation='gelu'), 'encoder_layer_gelu.pt')
torch.save(A(functools.partial(torch.utils.checkpoint.checkpoint, use_reentrant=False)), 'grad_checkpoint.pt')
m = nn.Linear(2, 2)
m.h = m.register_forward_hook(F.relu)
torch.save(m, 'hook_handle.pt')
torch.save(torch.fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU())), 'fx_graph_module.pt')


# A class in a class: getattr(Outer, 'Inner') in protocol 2, a dotted name in protocol 4. A bound method.
class Outer:
    class Inner:
        pass


torch.save({'c': Outer.Inner(), 'w': torch.ones(2)}, 'nested_class.pt')
torch.save({'c': Outer.Inner(), 'w': torch.ones(2)}, 'nested_class_p4.pt', pickle_protocol=4)
torch.save({'f': nn.Linear(2, 1).forward, 'w': torch.ones(2)}, 'bound_method.pt')

# What knows its parent: a config of OmegaConf, as Lightning, Hydra and NeMo save it.
from omegaconf import OmegaConf
torch.save({'hyper_parameters': OmegaConf.create({'lr': 0.1, 'layers': [1, 2]}), 'state_dict': {'w': torch.ones(2)}}, 'omegaconf.ckpt')
torch.save({'t': typing.Any, 'w': torch.ones(2)}, 'typing_any.pt')


class Node:
    pass


p = Node()
p.child = Node()
p.child.parent = p
torch.save({'hp': p, 'w': torch.ones(2)}, 'parent_ref.pt')
p.child.w = torch.arange(3.)  # listed once, by its first path
torch.save({'a': p, 'b': p.child}, 'parent_tensor.pt')

# An optimizer and a scheduler as objects: their state is a dict keyed by Parameters.
m = nn.Linear(3, 2)
o = torch.optim.Adam(m.parameters())
m(torch.ones(1, 3)).sum().backward()
o.step()
torch.save({'model': m.state_dict(), 'optimizer': o}, 'optimizer_object.pt')
torch.save({'model': m.state_dict(), 'scheduler': torch.optim.lr_scheduler.StepLR(o, 2)}, 'scheduler_object.pt')


# A training checkpoint as loops write it, of an embedding that has seen half of its rows.
import argparse, pathlib, random
m = nn.Embedding(6, 16)
o = torch.optim.AdamW(m.parameters())
s = torch.optim.lr_scheduler.CosineAnnealingLR(o, 10)
m(torch.tensor([0, 1, 2])).sum().backward()
o.step()
torch.save({'model': m.state_dict(), 'optimizer': o.state_dict(), 'scheduler': s.state_dict(), 'epoch': 3, 'best': np.float32(0.25), 'scaler': {}, 'names': np.array(['a', 'bc']),
            'args': argparse.Namespace(lr=1e-3, out=pathlib.PosixPath('out')), 'rng': [torch.random.get_rng_state(), np.random.get_state(), random.getstate()]}, 'routine.pt')


# Keys of every kind.
@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    inner: typing.Any


P = collections.namedtuple('P', 'a b')
keys = [1, -1, 0.5, None, True, 2**70, b'\xff"', ('a', 1, (2.0,)), Point(1, Point(2, 'y')), P(1, 'z'), torch.float32, np.int64(7), np.float32(0.1),
        frozenset([3]), float('nan'), float('nan')]
torch.save({k: torch.full((1,), float(i)) for i, k in enumerate(keys)}, 'keys.pt')
only = nn.Parameter(torch.ones(3))
torch.save({only: {'step': torch.tensor(1.)}, 'n': 1}, 'key_tensor.pt')  # that has no path but this

# Ordinary files: a numpy scalar, a TorchScript archive, a whole module.
torch.save({'model': {'w': torch.ones(2)}, 'best': np.float64(0.5)}, 'train.pt')
torch.jit.save(torch.jit.script(nn.Linear(2, 2)), 'script.pt')
torch.save(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh()), 'whole.pt')

# numpy's arrays in every order, type and protocol.
torch.save({'w': torch.ones(2), 'mean': np.arange(100, dtype='f4')}, 'beside.pt')
torch.save(np.arange(100, dtype='f4'), 'alone.pt')
arrays = {t: np.arange(6).astype(t) for t in '? i1 u1 i2 u2 i4 u4 i8 u8 f2 f4 f8 c8 c16 >i2 >u4 >f4 >f8 >c8'.split()}
arrays |= {'fortran': np.asfortranarray(np.arange(24, dtype='>f4').reshape(2, 3, 4)), 'k': np.arange(24, dtype='i2').reshape(2, 3, 4).transpose(1, 2, 0),
           'strided': np.arange(20, dtype='f4')[::3], 'empty': np.zeros((0, 3), 'f4'), 'scalar': np.array(1.5, 'f4'), 'matrix': np.asmatrix(np.eye(2)),
           'readonly': np.frombuffer(b'\x80\xff\x00\x01', 'u1')}
arrays['again'] = arrays['f4']
for p in 2, 3, 4, 5:
    torch.save({'d': arrays, 'n': [np.float32(0.1), np.int64(-1), np.bool_(True), np.str_('ü'), np.bytes_(b'x'), np.complex64(1j)]}, f'numpy_p{p}.pt', pickle_protocol=p)
torch.save(arrays, 'numpy_stream.pt', _use_new_zipfile_serialization=False)
torch.save({'o': np.array([torch.ones(2), None, 'x'], dtype=object), 's': np.zeros(2, [('a', 'f4'), ('b', 'i4')]), 't': np.array(['a', 'bc']),
            'd': np.array(['2020-01-01'], 'M8[D]'), 'm': np.ma.masked_array([1., 2.], [0, 1]), 'w': torch.ones(1)}, 'numpy_others.pt')

# What is not torch.save's.
from torch.package import PackageExporter
with PackageExporter('package.pt') as e:
    e.extern('**')
    e.save_pickle('model', 'model.pkl', nn.Linear(2, 3))


class M(nn.Module):
    def __init__(s):
        super().__init__()
        s.a, s.t = nn.Parameter(torch.arange(12.).reshape(3, 4)[1:]), nn.Parameter(torch.arange(6.).reshape(2, 3).t())
        s.tied, s.b, s.e, s.c = s.a, nn.Parameter(torch.randn(4).to(torch.bfloat16)), nn.Parameter(torch.zeros(0, 4)), torch.ones(3)
        s.register_buffer('n', torch.tensor(3))

    def forward(s, x):
        return (x @ s.a.T).sum() + s.t.sum() + s.b.float().sum() + s.n + s.tied.sum() + s.c.sum() + s.e.sum()


torch.export.save(torch.export.export(nn.Linear(2, 3), (torch.randn(1, 2),)), 'export.pt2')
torch.export.save(torch.export.export(M(), (torch.randn(1, 4),)), 'export_views.pt2')
