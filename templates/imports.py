"""Every import that a generated script may have; each script gets the ones it uses.

A file to read and to check, never to run. Its order is the order in the scripts.
"""

import ast
import codecs
import functools
import hashlib
import json
import logging
import math
import os
import pickle
import re
import shutil
import signal
import socket
import sys
import sysconfig
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from glob import glob
from http import HTTPStatus
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from waitress import create_server
from waitress.server import BaseWSGIServer

from model import (
    MAX_POSITION_EMBEDDINGS,
    NUM_HIDDEN_LAYERS,
    DecoderLayer,
    Llama,
    config,
    rotary_table,
)
