"""Every import that a generated script may have; each script gets the ones it uses.

A file to read and to check, never to run. Its order is the order in the scripts.
"""

import argparse
import ast
import codecs
import copy
import ctypes
import fcntl
import functools
import hashlib
import json
import logging
import math
import operator
import os
import pickle
import platform
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from ctypes import c_int, c_void_p
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property, partial
from http import HTTPStatus
from ipaddress import ip_address
from itertools import chain, islice
from pathlib import Path
from pydoc_data.topics import topics
from queue import SimpleQueue
from types import SimpleNamespace
from typing import NamedTuple, NoReturn

import numpy as np
import onnx
import onnxruntime as ort
import torch
from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from onnx import TensorProto, helper, numpy_helper
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers.decoders import DecodeStream
from torch import Tensor, nn
from torch.linalg import solve_triangular, vecdot, vector_norm
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right
from torch.optim.lr_scheduler import LambdaLR
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.utilities import Error
from waitress.wasyncore import dispatcher

from api import Server
from architecture import (
    DENSE,
    HEAD_DIM,
    HIDDEN_SIZE,
    INTERMEDIATE_SIZE,
    MAX_POSITION_EMBEDDINGS,
    MOE_INTERMEDIATE_SIZE,
    NUM_ATTENTION_HEADS,
    NUM_EXPERTS,
    NUM_EXPERTS_PER_TOK,
    NUM_HIDDEN_LAYERS,
    NUM_KEY_VALUE_HEADS,
    PRUNED,
    RMS_NORM_EPS,
    ROPE_THETA,
    SEPARATOR,
    SEQUENCE_LENGTH,
    SLIDING_WINDOW,
    VOCAB_SIZE,
    Sizes,
    config,
    is_pruned,
    rotary_frequencies,
    sizes_of,
    tensor_shapes,
)
from artifacts import (
    ARTIFACTS,
    FOLDER,
    SCRIPT,
    STAGE,
    damaged,
    digest,
    finish,
    is_whole,
    ledger,
    maker_of,
    peak_bytes,
    reading,
    remove,
    require,
    run,
    stop,
    took,
    write_json,
    writing,
)
from attention import BLOCKS, SPLITS, THREADS, attend, round_heads
from batching import Batch
from checkpoint import (
    CHECKPOINT,
    INDEX,
    NUMPY,
    Checkpoint,
    Form,
    Place,
    expert_shapes,
    experts,
    fingerprint,
    open_checkpoint,
    shards,
    size_of,
)
from conversation import Conversation
from decoder import SLOTS, Decoder, draw, sample
from fitting import Stack, fit_checkpoint
from generation import PREFILL, Gone, Piece, generate, load, spell
from gguf_file import TYPES, write_gguf
from graph import EMBEDDING, Graph, decoder, round_cache
from instrument import Model, about
from kernels import Kernel, multiprocessors, shared_memory
from layout import create, lay_out
from listener import Listener
from messages import read_chat, stream_chat, whole_chat
from model import CausalLM, DecoderLayer, rotary_table
from packing import (
    LANES,
    UNIT,
    in_bf16,
    pack,
    pack_scales,
    pack_sparse,
    tiles_of,
)
from products import (
    AHEAD,
    BUSY,
    FLOATS,
    FRAGMENTS,
    GATED,
    GROUP,
    LARGE,
    PLAIN,
    RESERVED,
    STREAM,
    TOKENS,
    is_few,
    multiply,
    product_kernel,
    slot_of,
)
from progress import note, progress_of, resume
from protocol import (
    COMPLETION_ONLY,
    FIELDS,
    LONGEST,
    MODEL,
    SHOWN,
    ApiError,
    Request,
    events,
    read_completion,
    read_request,
    require_room,
    send,
    stream,
    whole,
)
from quality import Scores, compare, difference, join, perplexity
from report import in_words, markdown
from rounding import (
    BITS,
    EXCEPTIONS,
    GROUP_SIZE,
    HEAD_BITS,
    Rounded,
    bits_of,
    quantize,
    rounded,
)
from rows import most, multiply_rows, normalized
from running import TEMPERATURE, apart, go_on, speeds
from surgery import Fix, elimination, factor, recorded, refine, sweep
from tensors import (
    DEVICE,
    cut,
    load_model,
    load_tokens,
    peak_device_bytes,
    read,
    require_gpu,
    save_model,
    write,
)
from training import (
    SEED,
    Run,
    loss_of,
    make_optimizer,
    train,
)
from vocabulary import Speller, Vocabulary
from weights import (
    ATTENDED,
    DTYPE,
    GPU,
    QKV,
    Layer,
    Matrix,
    load_tensor,
    look_up,
    room,
)
