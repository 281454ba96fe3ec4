import functools
import multiprocessing

import numpy as np
import pytest
import torch
from small_datasets import REAL_DATA

from raybench.catalog.datasets import Split, load_dataset
from raybench.errors import DataError
from raybench.settings import workspace
from raybench.spec.trial import trial_spec
from raybench.trial.input import make_input
from raybench.trial.input.pipeline import EpochOrder
from raybench.trial.input.resident import ResidentInput

CPU = torch.device("cpu")
DATASETS = ["digits", "synthetic", "mnist", "cifar10", "kmnist", "fashionmnist"]
TORCH_FORMATS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
# Python 3.12 and newer warn of any fork beside another thread; torch's pools are such threads.
FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def spec(**fields):
    return trial_spec(
        {"model": "resnet18", "dataset": "digits", "hardware": "cpu:2", "batch_size": 4, **fields}
    ).resolved()


def noise(images=10, shape=(28, 28)):
    random = np.random.default_rng(1)
    return Split(
        images=random.integers(0, 256, (images, *shape), dtype=np.uint8),
        labels=random.integers(0, 10, images),
    )


@functools.cache
def split_of(name):
    """Return some images of a dataset, of its shape where its files are not there."""
    try:
        return load_dataset(name, workspace(data=REAL_DATA), train_limit=10, eval_limit=1).train
    except DataError:
        if name in ("mnist", "cifar10"):
            pytest.skip(f"{name} is not in {REAL_DATA}")
        return noise(10)


def an_epoch(pipeline, epoch=1):
    """Return the images and labels of a whole epoch."""
    batches = [
        [part.clone() for part in pipeline.preprocess(pipeline.transfer(raw))]
        for raw in pipeline.batches(epoch)
    ]
    assert len(batches) == pipeline.steps
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert len(images) == pipeline.images
    return images, labels


def worst_difference(ours, theirs):
    """Return the largest difference of two images from -1 to 1, in steps of a uint8 pixel."""
    return (ours - theirs).abs().max().item() * 127.5


@pytest.mark.parametrize("image_size", [224, 64, 7])
@pytest.mark.parametrize("name", DATASETS)
def test_both_pipelines_give_the_same_pixels(name, image_size):
    def epoch(pipeline, memory_format):
        fields = spec(input_pipeline=pipeline, memory_format=memory_format, image_size=image_size)
        made = make_input(fields, split_of(name), CPU, train=True)
        images, _ = made.preprocess(made.transfer(next(made.batches(1))))
        assert images.shape == (4, 3, image_size, image_size)
        assert images.is_contiguous(memory_format=TORCH_FORMATS[memory_format])
        return an_epoch(made)

    theirs, their_labels = epoch("dataloader", "contiguous")
    assert (theirs.dtype, their_labels.dtype) == (torch.float32, torch.int64)
    for memory_format in TORCH_FORMATS:
        ours, our_labels = epoch("device", memory_format)
        assert (ours.dtype, our_labels.dtype) == (torch.float32, torch.int64)
        assert torch.equal(our_labels, their_labels)
        assert worst_difference(ours, theirs) <= 1.01


def test_the_dataloader_gives_the_memory_format_asked_for():
    made = make_input(spec(memory_format="channels_last"), noise(), CPU, train=False)
    images, _ = made.preprocess(made.transfer(next(made.batches(1))))
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (32, 32, 3)])
@pytest.mark.parametrize("image_size", [224, 7])
def test_the_kernels_of_a_gpu_give_the_same_pixels(shape, image_size, memory_format):
    split = noise(shape=shape)
    fields = {"image_size": image_size, "memory_format": memory_format, "batch_size": 10}
    theirs, _ = an_epoch(make_input(spec(**fields), split, CPU, train=False))
    fields["input_pipeline"] = "device"
    ours = make_input(spec(**fields), split, CPU, train=False)
    assert isinstance(ours, ResidentInput)
    images = ours._resize_float(torch.arange(10))
    assert images.stride() == ours.preprocess((torch.arange(10),))[0].stride()
    assert worst_difference(images, theirs) <= 1.01


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("memory_format", TORCH_FORMATS)
@pytest.mark.parametrize("pipeline", ["dataloader", "device"])
@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3)])
def test_a_gpu_gets_the_same_pixels(shape, pipeline, memory_format):
    split, gpu = noise(shape=shape), torch.device("cuda")
    theirs, their_labels = an_epoch(make_input(spec(), split, CPU, train=True))
    fields = spec(input_pipeline=pipeline, memory_format=memory_format)
    ours, our_labels = an_epoch(make_input(fields, split, gpu, train=True))
    assert (ours.device.type, our_labels.device.type) == ("cuda", "cuda")
    assert torch.equal(our_labels.cpu(), their_labels)
    assert worst_difference(ours.cpu(), theirs) <= 1.01


def test_the_order_is_the_same_on_every_machine():
    # As torch 2.0.1 and 2.15 gave it.
    order = EpochOrder(60_000, seed=3, shuffled=True)
    order.epoch = 2
    assert order.indices()[:4].tolist() == [1174, 31264, 39709, 479]


def test_each_epoch_and_each_repeat_has_its_own_order():
    def order(epoch, **fields):
        made = make_input(spec(input_pipeline="device", **fields), noise(40), CPU, train=True)
        return torch.cat([indices for (indices,) in made.batches(epoch)]).tolist()

    orders = [order(1), order(2), order(1, repeat=1), order(1, seed=5), order(1, seed=2**31 - 1)]
    assert all(sorted(indices) == list(range(40)) for indices in orders)
    assert len({tuple(indices) for indices in orders}) == len(orders)
    assert order(1, repeat=1) == order(1, seed=1) == orders[2]


@pytest.mark.parametrize("pipeline", ["dataloader", "device"])
def test_evaluation_keeps_the_order_and_the_last_batch_may_be_smaller(pipeline):
    split = noise(10)
    made = make_input(spec(input_pipeline=pipeline), split, CPU, train=False)
    sizes = [len(made.preprocess(raw)[1]) for raw in made.batches(1)]
    assert sizes == [4, 4, 2]
    assert (made.images, made.steps) == (10, 3)
    assert an_epoch(made)[1].tolist() == split.labels.tolist()


@pytest.mark.parametrize("pipeline", ["dataloader", "device"])
def test_the_global_random_state_is_left_alone(pipeline):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    an_epoch(make_input(spec(input_pipeline=pipeline), noise(), CPU, train=True))
    assert torch.equal(torch.get_rng_state(), before)


@FORKS
def test_workers_give_the_same_batches_and_end_with_the_pipeline():
    split = noise(10)
    fields = {"image_size": 16}
    alone = make_input(spec(**fields), split, CPU, train=True)
    shared = make_input(spec(num_workers=1, **fields), split, CPU, train=True)
    next(shared.batches(1))  # an epoch left early
    workers = multiprocessing.active_children()
    assert len(workers) == 1
    for epoch in (1, 2):
        for ours, theirs in zip(an_epoch(shared, epoch), an_epoch(alone, epoch), strict=True):
            assert torch.equal(ours, theirs)
    assert multiprocessing.active_children() == workers
    unfinished = shared.batches(3)
    next(unfinished)
    shared.close()
    assert multiprocessing.active_children() == []


def test_the_dataloader_is_tuned_as_torchvisions_reference():
    # A loader touches no GPU until its first epoch, so one for a GPU can be looked at anywhere.
    fields = {"hardware": "P100", "num_workers": 1}
    loader = make_input(spec(**fields), noise(), torch.device("cuda"), train=True)._loader
    assert (loader.num_workers, loader.prefetch_factor) == (1, 2)
    assert loader.pin_memory
    assert loader.persistent_workers
    assert not loader.drop_last


def test_without_a_gpu_nothing_is_pinned_and_without_workers_nothing_prefetched():
    loader = make_input(spec(num_workers=0), noise(), CPU, train=True)._loader
    assert not loader.pin_memory
    assert loader.prefetch_factor is None


def test_copies_to_the_device_do_not_block():
    class Pinned:
        """A tensor in pinned memory, as far as a copy is concerned."""

        def to(self, device, **options):
            return device.type, options

    made = make_input(spec(hardware="P100"), noise(), torch.device("cuda"), train=True)
    assert made.transfer((Pinned(), Pinned())) == (("cuda", {"non_blocking": True}),) * 2


def test_the_device_pipeline_shares_the_mapped_images_and_reuses_its_memory():
    split = noise(10)
    made = make_input(spec(input_pipeline="device"), split, CPU, train=True)
    assert isinstance(made, ResidentInput)
    assert made._images.data_ptr() == split.images.ctypes.data
    addresses = {made.preprocess(raw)[0].data_ptr() for raw in made.batches(1)}
    assert len(addresses) == 1
