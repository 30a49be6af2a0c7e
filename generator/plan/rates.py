"""Time as a range: arithmetic and bytes against the hardware's peak rates."""

Seconds = tuple[float, float]
Shares = tuple[float, float]  # of a peak rate: the best and the worst that was seen

# Seen of the peak of arithmetic: 0.40 in training on an H200 (torch 2.11), 0.7 on two x86
# cores (torch 2.13.0), with room at both ends for other shapes and hardware.
ARITHMETIC = {"cpu": (0.8, 0.15), "cuda": (0.55, 0.1)}
# Seen of the peak of bandwidth in decoding: 0.69 to 0.87 on GPUs (gpt-fast's and
# XiongjieDai's tables), 0.36 to 0.70 on CPUs.
BANDWIDTH = {"cpu": (0.8, 0.2), "cuda": (0.9, 0.4)}
# What products.py came to at the least, by bits: whole steps of an 8B on one H200, with the
# host's part (0.77 to 0.35 of its 4.8 TB/s).
PACKED_WORST = {16: 0.5, 8: 0.45, 4: 0.3}


def over(work: float, rate: float, shares: Shares) -> Seconds:
    """Divide operations, or bytes, by what a peak rate comes to at best and at worst."""
    best, worst = shares
    return work / (rate * best), work / (rate * worst)
