// SPDX-License-Identifier: Apache-2.0
// The keys of a machine profile, and what is wrong with their values.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "plan/machine.h"

namespace ocoee::plan {
namespace {

void describe_curve(config::Description& d, const std::string& name, Curve& curve,
                    const std::string& over, double most = 1) {
  d.field(name + "_at", curve.at, "sizes, rising: " + over).above(0);
  d.field(name + "_share", curve.share, "share of the peak reached at each size")
      .above(0)
      .at_most(most);
}

void check_curve(config::Problems& problems, const std::string& key, const Curve& curve) {
  if (curve.at.size() != curve.share.size())
    problems.add(key + "_share",
                 fmt::format("{} shares for {} sizes", curve.share.size(), curve.at.size()),
                 "write one share for each size of " + key + "_at");
  if (!std::is_sorted(curve.at.begin(), curve.at.end(), std::less_equal<>()))
    problems.add(key + "_at", "the sizes do not rise", "sort them, each once");
}

constexpr BytesPerSecond kNotStated(1);  // a link's bandwidth

std::string fixed_key(const std::string& kind) {
  return "fixed_" + kind;
}

// What shares of its peaks it reaches.
void describe_curves(config::Description& d, Device& device) {
  describe_curve(d, "product", device.product, "FLOPs of a matrix product");
  d.field("few_tokens", device.few_tokens,
          "so many tokens of a micro-batch, or fewer, and product_few is what products reach; 0 = "
          "as with many")
      .at_least(0);
  describe_curve(d, "product_few", device.product_few, "FLOPs of a matrix product, few tokens");
  // A causal kernel skips half of the FLOPs that are counted.
  describe_curve(d, "attention", device.attention, "head size, fused attention", 2);
  describe_curve(d, "stream", device.stream, "bytes read and written");
  describe_curve(d, "reuse", device.reuse,
                 "bytes touched between two uses of what a pass moves; with it, the other curves "
                 "are of operands that are near");
  describe_curve(d, "attention_length", device.attention_length,
                 "tokens of a sample; the share of `attention` is multiplied with this", 4);
  describe_curve(d, "attention_rows", device.attention_rows,
                 "tokens times heads of a micro-batch; multiplied as well", 4);
  d.field("attention_backward", device.attention_backward,
          "seconds of fused attention's backward pass over those of its forward pass")
      .above(0);
}

// What passes over memory, kernels and dropout cost beside.
void describe_passes(config::Description& d, Device& device) {
  for (const auto& [key, value, what] :
       {std::tuple<const char*, double*, const char*>{"activation", &device.activation,
                                                      "a GELU or SwiGLU"},
        {"activation_gradient", &device.activation_gradient, "its gradient"},
        {"norm", &device.norm, "a norm"},
        {"norm_gradient", &device.norm_gradient, "its gradients"},
        {"loss", &device.loss, "a cross-entropy and its gradient"}})
    d.field(key, *value, fmt::format("{}: arithmetic of an element; 0 = memory bounds it", what))
        .unit("s")
        .at_least(0);
  d.field("workspace", device.workspace.value, "that matrix products take while they run")
      .unit("bytes")
      .at_least(0);
  d.field("launch", device.launch.value, "that a kernel costs beside its work")
      .unit("s")
      .at_least(0);
  for (const char* kind : {"embedding", "norm", "attention", "mlp", "head"})
    d.field(fixed_key(kind), device.fixed[kind],
            fmt::format("{}: a forward and a backward pass beside their work; none = a launch for "
                        "each operation",
                        kind))
        .unit("s")
        .at_least(0);
  d.field("random", device.random, "random numbers a second, for dropout; 0 = free").at_least(0);
  d.field("power", device.power.value, "drawn while it works; 0 = not known").unit("W").at_least(0);
}

void describe_device(config::Description& d, Device& device) {
  d.field("name", device.name, "shown in tables").required();
  d.field("memory", device.memory.value, "of a device").unit("bytes").above(0).required();
  d.field("reserve", device.reserve, "share of memory that runtime and driver take")
      .at_least(0)
      .at_most(0.9);
  d.field("bandwidth", device.bandwidth.value, "of its memory").unit("bytes/s").above(0).required();
  for (const auto& [key, peak] : {std::pair<const char*, double*>{"bfloat16", &device.bfloat16},
                                  {"float16", &device.float16},
                                  {"float32", &device.float32},
                                  {"float64", &device.float64}})
    d.field(key, *peak, "peak of matrix products; 0 = none").unit("FLOP/s").at_least(0);
  d.field("float8", device.float8,
          "times as quick as in bfloat16 are products in float8, their operands' rounding apart; "
          "0 = not known")
      .at_least(0);
  describe_curves(d, device);
  describe_passes(d, device);
}

}  // namespace

void Link::describe(config::Description& d) {
  d.field("devices", devices, "devices that such links join; 0 = there is no such level")
      .at_least(0);
  d.field("bandwidth", bandwidth.value, "a device's share, one direction").unit("bytes/s").above(0);
  d.field("latency", latency.value, "of a message within a collective").unit("s").at_least(0);
  d.field("call", call.value, "that a collective takes beside its messages").unit("s").at_least(0);
  d.field("message_latency", message_latency.value, "of a message by itself; 0 = latency")
      .unit("s")
      .at_least(0);
  describe_curve(d, "efficiency", efficiency, "bytes of an all-reduce");
  describe_curve(d, "gather_efficiency", gather_efficiency,
                 "bytes of an all-gather or reduce-scatter; none = as an all-reduce");
  describe_curve(d, "copy_efficiency", copy_efficiency,
                 "bytes of an all-gather or reduce-scatter of the tensor axis by copy engines "
                 "(layout.copy_engines); none = gather_efficiency");
  describe_curve(d, "message_efficiency", message_efficiency,
                 "bytes of a message by itself; none = as an all-reduce");
  d.field("overlap_loss", overlap_loss,
          "share of the compute beside it that a transfer takes; above 1 where the two hinder each "
          "other")
      .at_least(0)
      .at_most(2);
  d.field("copy_loss", copy_loss,
          "share of the compute beside it that a gather or reduce-scatter by copy engines takes")
      .at_least(0)
      .at_most(2);
  d.field("waiting_loss", waiting_loss,
          "share of the compute beside it that a message takes while it waits for the other side")
      .at_least(0)
      .at_most(1);
}

void Machine::describe(config::Description& d) {
  config::Description& m = d.section("machine", "What it is.");
  m.field("name", name, "shown in tables").required();
  m.field("note", note, "where the figures come from");
  m.field("match", match, "words of a device's name that belong to this profile");
  m.field("deepspeed_stage_start", deepspeed_stage_start.value,
          "that Megatron-DeepSpeed loses once a step for each stage after the first; 0 = not known")
      .unit("s")
      .at_least(0);

  describe_device(d.section("device", "One device: what software calls a GPU."), device);

  config::Description& h = d.section("host", "A node's own memory, where activations can wait.");
  h.field("memory", host.memory.value, "of a node; 0 = none for this").unit("bytes").at_least(0);
  h.field("bandwidth", host.bandwidth.value, "a device's share, one direction")
      .unit("bytes/s")
      .at_least(0);

  const auto link = [&](const char* key, Link& value, const char* doc) {
    value.bandwidth = kNotStated;
    value.describe(d.section(key, doc));
  };
  link("package", package, "Devices of one package, where they are nearer than others of a node.");
  link("node", node, "Devices of one node.");
  link("network", network, "Devices of different nodes.");

  config::Description& storage = d.section("storage", "The file system, a node's share.");
  storage.field("read", read.value, "0 = not known").unit("bytes/s").at_least(0);
  storage.field("write", write.value, "0 = not known").unit("bytes/s").at_least(0);
  storage.field("hdf5_read", hdf5_read.value, "arrays read by HDF5's library; 0 = not known")
      .unit("bytes/s")
      .at_least(0);
}

void Machine::check(config::Problems& problems) const {
  check_curve(problems, "device.product", device.product);
  check_curve(problems, "device.product_few", device.product_few);
  check_curve(problems, "device.attention", device.attention);
  check_curve(problems, "device.attention_length", device.attention_length);
  check_curve(problems, "device.attention_rows", device.attention_rows);
  check_curve(problems, "device.stream", device.stream);
  check_curve(problems, "device.reuse", device.reuse);
  for (const auto& [level, link] : {std::pair<std::string, const Link*>{"package", &package},
                                    {"node", &node},
                                    {"network", &network}}) {
    check_curve(problems, level + ".efficiency", link->efficiency);
    check_curve(problems, level + ".gather_efficiency", link->gather_efficiency);
    check_curve(problems, level + ".copy_efficiency", link->copy_efficiency);
    check_curve(problems, level + ".message_efficiency", link->message_efficiency);
    if (link->devices > 1 && link->bandwidth == kNotStated)
      problems.add(
          level + ".bandwidth",
          fmt::format("{} devices are joined, and it is not stated how fast", link->devices),
          "write what a device has of it in one direction, in bytes/s");
  }
  if (device.bfloat16 + device.float16 + device.float32 + device.float64 <= 0)
    problems.add("device", "no peak is stated for any type",
                 "add `bfloat16 = FLOP/s` or another type");
  for (const auto& [kind, seconds] : device.fixed) {
    if (!seconds.empty() && seconds.size() != 2)
      problems.add("device." + fixed_key(kind),
                   fmt::format("{} numbers, where two are expected", seconds.size()),
                   "write [seconds of a forward pass, seconds of a backward pass]");
  }
  if (host.memory > Bytes(0) && host.bandwidth <= BytesPerSecond(0))
    problems.add("host.bandwidth", "host memory that nothing reaches",
                 "state bandwidth in bytes/s, or leave [host] out");
  if (node.devices < 1)
    problems.add("node.devices", "a node has at least one device", "write [node] devices = 1");
  if (package.devices > 0 && node.devices % package.devices != 0)
    problems.add("package.devices",
                 fmt::format("{} devices of a package do not divide the {} of a node",
                             package.devices, node.devices),
                 "use a divisor, or 0 where packages do not differ");
}

std::vector<std::string> Machine::taken_as_ideal(int64_t devices) const {
  std::vector<std::string> keys;
  const auto curve = [&](const std::string& key, bool stated) {
    if (!stated) keys.push_back(key + "_share");
  };
  curve("device.product", !device.product.at.empty());
  curve("device.attention", !device.attention.at.empty());
  curve("device.stream", !device.stream.at.empty() || !device.reuse.at.empty());
  const auto link = [&](const std::string& level, const Link& value, bool used) {
    if (!used) return;
    curve(level + ".efficiency", !value.efficiency.at.empty());
    if (value.latency + value.call <= Seconds(0)) keys.push_back(level + ".latency");
  };
  link("package", package, package.devices > 1 && devices > 1);
  link("node", node, node.devices > 1 && devices > 1);
  link("network", network, devices > node.devices);
  return keys;
}

}  // namespace ocoee::plan
