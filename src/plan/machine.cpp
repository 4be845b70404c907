// SPDX-License-Identifier: Apache-2.0
#include "plan/machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"

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

std::string fixed_key(const std::string& kind) {
  return "fixed_" + kind;
}

bool contains_word(std::string text, std::string word) {
  const auto lower = [](std::string& s) {
    for (char& c : s) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  };
  lower(text);
  lower(word);
  return text.find(word) != std::string::npos;
}

}  // namespace

double Curve::operator()(double size) const {
  if (at.empty()) return 1;
  if (size <= at.front()) return share.front();
  if (size >= at.back()) return share.back();
  const auto above = std::upper_bound(at.begin(), at.end(), size);
  const auto i = static_cast<size_t>(above - at.begin());
  const double part = std::log(size / at[i - 1]) / std::log(at[i] / at[i - 1]);
  return share[i - 1] + part * (share[i] - share[i - 1]);
}

double Device::product_share(double flops, double tokens) const {
  const double many = product(flops);
  if (few_tokens <= 0 || product_few.at.empty() || tokens >= 2 * few_tokens) return many;
  const double part = std::max(0.0, std::log2(tokens / few_tokens));
  return product_few(flops) * (1 - part) + many * part;
}

FlopsPerSecond Device::peak(const std::string& compute) const {
  const double rate = compute == "bfloat16"  ? bfloat16
                      : compute == "float16" ? float16
                      : compute == "float64" ? float64
                                             : float32;
  if (rate <= 0)
    fail(ErrorKind::config,
         "precision.compute: the profile of {} states no peak of {}\n    fix: add `{} = FLOP/s` to "
         "its [device] section, or use another type",
         name, compute, compute);
  return FlopsPerSecond(rate);
}

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

  config::Description& dev = d.section("device", "One device: what software calls a GPU.");
  dev.field("name", device.name, "shown in tables").required();
  dev.field("memory", device.memory.value, "of a device").unit("bytes").above(0).required();
  dev.field("reserve", device.reserve, "share of memory that runtime and driver take")
      .at_least(0)
      .at_most(0.9);
  dev.field("bandwidth", device.bandwidth.value, "of its memory")
      .unit("bytes/s")
      .above(0)
      .required();
  dev.field("bfloat16", device.bfloat16, "peak of matrix products; 0 = none")
      .unit("FLOP/s")
      .at_least(0);
  dev.field("float16", device.float16, "peak of matrix products; 0 = none")
      .unit("FLOP/s")
      .at_least(0);
  dev.field("float32", device.float32, "peak of matrix products; 0 = none")
      .unit("FLOP/s")
      .at_least(0);
  dev.field("float64", device.float64, "peak of matrix products; 0 = none")
      .unit("FLOP/s")
      .at_least(0);
  dev.field("float8", device.float8,
            "times as quick as in bfloat16 are products in float8, their operands' rounding apart; "
            "0 = not known")
      .at_least(0);
  describe_curve(dev, "product", device.product, "FLOPs of a matrix product");
  dev.field(
         "few_tokens", device.few_tokens,
         "so many tokens of a micro-batch, or fewer, and product_few is what products reach; 0 = "
         "as with many")
      .at_least(0);
  describe_curve(dev, "product_few", device.product_few, "FLOPs of a matrix product, few tokens");
  // A causal kernel skips half of the FLOPs that are counted.
  describe_curve(dev, "attention", device.attention, "head size, fused attention", 2);
  describe_curve(dev, "stream", device.stream, "bytes read and written");
  describe_curve(dev, "reuse", device.reuse,
                 "bytes touched between two uses of what a pass moves; with it, the other curves "
                 "are of operands that are near");
  describe_curve(dev, "attention_length", device.attention_length,
                 "tokens of a sample; the share of `attention` is multiplied with this", 4);
  describe_curve(dev, "attention_rows", device.attention_rows,
                 "tokens times heads of a micro-batch; multiplied as well", 4);
  dev.field("attention_backward", device.attention_backward,
            "seconds of fused attention's backward pass over those of its forward pass")
      .above(0);
  for (const auto& [key, value, what] :
       {std::tuple<const char*, double*, const char*>{"activation", &device.activation,
                                                      "a GELU or SwiGLU"},
        {"activation_gradient", &device.activation_gradient, "its gradient"},
        {"norm", &device.norm, "a norm"},
        {"norm_gradient", &device.norm_gradient, "its gradients"},
        {"loss", &device.loss, "a cross-entropy and its gradient"}})
    dev.field(key, *value, fmt::format("{}: arithmetic of an element; 0 = memory bounds it", what))
        .unit("s")
        .at_least(0);
  dev.field("workspace", device.workspace.value, "that matrix products take while they run")
      .unit("bytes")
      .at_least(0);
  dev.field("launch", device.launch.value, "that a kernel costs beside its work")
      .unit("s")
      .at_least(0);
  for (const char* kind : {"embedding", "norm", "attention", "mlp", "head"})
    dev.field(
           fixed_key(kind), device.fixed[kind],
           fmt::format("{}: a forward and a backward pass beside their work; none = a launch for "
                       "each operation",
                       kind))
        .unit("s")
        .at_least(0);
  dev.field("random", device.random, "random numbers a second, for dropout; 0 = free").at_least(0);
  dev.field("power", device.power.value, "drawn while it works; 0 = not known")
      .unit("W")
      .at_least(0);

  config::Description& h = d.section("host", "A node's own memory, where activations can wait.");
  h.field("memory", host.memory.value, "of a node; 0 = none for this").unit("bytes").at_least(0);
  h.field("bandwidth", host.bandwidth.value, "a device's share, one direction")
      .unit("bytes/s")
      .at_least(0);

  const auto link = [&](const char* key, Link& value, const char* doc) {
    value.bandwidth = BytesPerSecond(1);
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

Machine parse_machine(const std::string& toml, const std::string& name) {
  const config::Document document = config::Document::from_text(toml, name);
  Machine machine;
  config::Description description;
  machine.describe(description);
  config::Problems problems;
  document.read(description, problems);
  problems.keep_first_of_a_key_from_here();
  machine.check(problems);
  if (!problems.empty())
    fail(ErrorKind::config, "{}{}",
         problems.all().size() == 1
             ? ""
             : fmt::format("{} problems in the machine profile\n", problems.all().size()),
         problems.text());
  return machine;
}

Machine load_machine(const std::string& name) {
  if (name.find('/') != std::string::npos || name.ends_with(".toml")) {
    std::string text;
    try {
      text = read_file(name);
    } catch (const Error& error) {
      fail(ErrorKind::config,
           "{}\n    fix: give the path of a machine profile, or the name of one: `ocoee list "
           "machines`",
           error.what());
    }
    return parse_machine(text, name);
  }
  std::vector<std::string> names;
  for (const BuiltinMachine& machine : builtin_machines()) {
    if (machine.name == name) return parse_machine(machine.toml, "machines/" + name + ".toml");
    names.push_back(machine.name);
  }
  const std::string near = nearest(name, names);
  fail(ErrorKind::config, "no machine profile is named '{}'\n    fix: {}", name,
       near.empty() ? fmt::format("one of {}, or the path of a TOML file", join(names, ", "))
                    : fmt::format("did you mean '{}'?", near));
}

Machine unknown_machine() {
  Machine m;
  m.device.memory = Bytes(1e30);
  m.device.bandwidth = BytesPerSecond(1);
  m.device.bfloat16 = m.device.float16 = m.device.float32 = m.device.float64 = 1;
  m.host.memory = Bytes(1e30);
  m.host.bandwidth = BytesPerSecond(1);
  m.node.devices = int64_t{1} << 40;
  m.node.bandwidth = m.network.bandwidth = BytesPerSecond(1);
  return m;
}

std::string machine_of_device(const std::string& device_name) {
  for (const BuiltinMachine& builtin : builtin_machines()) {
    const Machine machine = parse_machine(builtin.toml, builtin.name);
    if (!machine.match.empty() &&
        std::all_of(machine.match.begin(), machine.match.end(),
                    [&](const std::string& word) { return contains_word(device_name, word); }))
      return builtin.name;
  }
  return "";
}

}  // namespace ocoee::plan
