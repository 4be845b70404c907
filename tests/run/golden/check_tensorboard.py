# SPDX-License-Identifier: Apache-2.0
# check_tensorboard.py FOLDER: prints the scalars that TensorBoard finds there. pip install tensorboard
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
for tag in events.Tags()["scalars"]:
    print(tag, [(e.step, e.value) for e in events.Scalars(tag)])
