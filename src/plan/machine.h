// SPDX-License-Identifier: Apache-2.0
// What a machine can do: a device's peaks and curves, the links between devices from the package
// outwards, storage. Read from TOML: machines/NAME.toml, or a file that calibration wrote.
//
// A curve says which share of a peak is reached at a size: points joined by straight lines over
// the logarithm of the size, level beyond both ends.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/config.h"
#include "plan/units.h"

namespace ocoee::plan {

struct Curve {
  std::vector<double> at, share;
  double operator()(double size) const;  // 1 where no point is given
};

struct Device {
  std::string name;
  Bytes memory;
  double reserve = 0.04;  // share of memory that runtime, communication library and driver take
  BytesPerSecond bandwidth;
  double bfloat16 = 0, float16 = 0, float32 = 0, float64 = 0;  // peak FLOP/s of matrix products
  double float8 = 0;  // times as quick as bfloat16's are products in float8; 0: not known
  Curve product;      // over FLOPs of one matrix product
  // The same where a micro-batch has this many tokens or fewer; between those and twice as many,
  // a line over the logarithm. 0, or no curve: as with many.
  double few_tokens = 0;
  Curve product_few;
  Curve attention;  // fused attention, over the head size; FLOPs of the full, not causal, matrix
  Curve attention_length;         // what that is multiplied with, over the tokens of a sample
  Curve attention_rows;           // and with this: over tokens times heads of a micro-batch
  double attention_backward = 2;  // seconds of its backward pass over those of its forward pass
  Curve stream;                   // over bytes read and written
  // Of `bandwidth`, over the bytes that are touched between two uses of what a pass moves: what its
  // caches give. Where it is stated, `product`, `attention` and the passes below say what
  // arithmetic takes on operands that are near, and memory comes on top; else they were measured
  // with it.
  Curve reuse;
  Seconds launch;  // that a kernel costs beside its work
  // By kind of layer: seconds of a forward and a backward pass beside their work, in calls, small
  // kernels and gaps between kernels. Empty: a launch for each operation.
  std::map<std::string, std::vector<double>> fixed;
  double random = 0;  // random numbers a second, for dropout; 0: free
  // Seconds an element of passes that arithmetic bounds where memory does not: a GELU or SwiGLU, a
  // norm, a cross-entropy with its gradient.
  double activation = 0, activation_gradient = 0, norm = 0, norm_gradient = 0, loss = 0;
  Bytes workspace;  // that the library of matrix products takes while it computes
  Watts power;

  double product_share(double flops, double tokens) const;
  FlopsPerSecond peak(const std::string& compute) const;  // throws Error(config) when unknown
};

// Devices that reach each other over links of one kind, as seen from one device.
struct Link {
  int64_t devices = 0;       // of one group: package, node; 0: no such level; network: any number
  BytesPerSecond bandwidth;  // a device's share, one direction
  Seconds latency;           // of a message within a collective
  Seconds call;              // that a collective takes beside its messages: to begin, and to meet
  Seconds message_latency;   // of a message by itself; 0: as within a collective
  Curve efficiency;          // over the bytes of an all-reduce
  Curve gather_efficiency;   // of an all-gather or a reduce-scatter; none: as an all-reduce
  Curve copy_efficiency;     // of either within a node by copy engines; none: as NCCL's
  Curve message_efficiency;  // of a message by itself; none: as an all-reduce
  double overlap_loss = 0;   // share of the compute beside it that a transfer takes
  double copy_loss = 0;      // and that a gather or reduce-scatter by copy engines takes
  double waiting_loss = 0;   // and that a message takes which waits for the other side
  void describe(config::Description& d);
};

struct Host {                // where activations can wait
  Bytes memory;              // of a node; 0: not known, so nothing is put there
  BytesPerSecond bandwidth;  // a device's share, one direction
};

struct Machine {
  std::string name, note;
  std::vector<std::string> match;  // words of a device's name, for the machine at hand
  // That Megatron-DeepSpeed was seen to lose once a step for each stage after the first.
  Seconds deepspeed_stage_start;
  Device device;
  Host host;
  Link package, node, network;
  BytesPerSecond read, write;                      // of a node, from and to the file system
  BytesPerSecond hdf5_read;                        // the same through HDF5's library
  bool is_known() const { return !name.empty(); }  // not unknown_machine()

  void describe(config::Description& d);
  void check(config::Problems& problems) const;
  // Keys that the profile leaves out, where plans on `devices` then take what is ideal: peaks that
  // every product reaches, messages without latency.
  std::vector<std::string> taken_as_ideal(int64_t devices) const;
};

// `name` is a built-in profile, or the path of a TOML file (with a '/' or ending in ".toml").
// Throws Error(config) with every problem of the file, or with the nearest name.
Machine load_machine(const std::string& name);
Machine parse_machine(const std::string& toml, const std::string& name);

struct BuiltinMachine {
  std::string name, toml;
};
const std::vector<BuiltinMachine>& builtin_machines();  // generated from machines/*.toml

// Memory can be predicted of it, and nothing else: of no machine in particular.
Machine unknown_machine();

// The built-in profile whose `match` words stand in a device's name; "" when there is none.
std::string machine_of_device(const std::string& device_name);

}  // namespace ocoee::plan
