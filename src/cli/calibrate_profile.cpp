// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "cli/calibrate.h"

namespace ocoee::cli {
namespace {

double best_rate(const std::vector<Sample>& samples) {
  double best = 0;
  for (const Sample& sample : samples) best = std::max(best, sample.rate());
  return best;
}

std::string curve(const std::string& name, const std::vector<double>& at,
                  const std::vector<double>& share, const std::string& what) {
  std::string sizes, shares;
  for (size_t i = 0; i < at.size(); ++i) {
    sizes += fmt::format("{}{:.4g}", i ? ", " : "", at[i]);
    shares += fmt::format("{}{:.3f}", i ? ", " : "", std::clamp(share[i], 0.001, 3.999));
  }
  return fmt::format("{}_at = [{}]  # {}\n{}_share = [{}]\n", name, sizes, what, name, shares);
}

std::string rate_curve(const std::string& name, const std::vector<Sample>& samples, double peak,
                       const std::string& what) {
  std::vector<double> at, share;
  for (const Sample& sample : samples) {
    at.push_back(sample.size);
    share.push_back(sample.rate() / peak);
  }
  return curve(name, at, share, what);
}

// What an all-reduce leaves of the bandwidth, once the messages' latency is taken off.
std::string link_section(const LinkFigures& links, bool gpu) {
  if (links.ranks == 1)
    return "\n[node]\ndevices = 1  # measured with one rank; start more to measure their links\n"
           "bandwidth = 1e9\nlatency = 1e-6\n";
  const double n = links.ranks;
  std::vector<double> at, reached;
  double bandwidth = 0;
  for (const Sample& sample : links.all_reduces) {
    if (sample.size < 4e3) continue;  // all latency
    // On a busy machine the latency of small messages can be more than a larger one took.
    const double pass = std::max(sample.seconds / 2 - links.latency * (n - 1), sample.seconds / 4);
    const double rate = sample.size * (n - 1) / n / pass;
    at.push_back(sample.size);
    reached.push_back(rate);
    bandwidth = std::max(bandwidth, rate);
  }
  for (double& rate : reached) rate /= bandwidth;
  return fmt::format(
             "\n[node]\ndevices = {}\nbandwidth = {:.4g}  # bytes/s, from all-reduces of {} "
             "ranks\nlatency = {:.3g}  # s, all-reduce of 16 bytes\noverlap_loss = {}\n",
             links.ranks, bandwidth, links.ranks, links.latency,
             gpu ? "0.1  # not measured" : "1  # a rank's threads move its data themselves") +
         curve("efficiency", at, reached, "bytes of the whole buffer");
}

}  // namespace

std::string profile_text(const std::string& name, const std::string& note,
                         const DeviceFigures& device, const LinkFigures& links,
                         const StorageFigures& storage, const std::string& device_name) {
  std::string out = fmt::format(
      "version = 1\n# Measured by `ocoee calibrate` with {} rank{}.\n\n[machine]\nname = "
      "\"{}\"\nnote = \"{}\"\n\n[device]\nname = \"{}\"\nmemory = {:.4g}  # bytes\n",
      links.ranks, links.ranks == 1 ? "" : "s", name, note, device_name, device.memory);
  const double bandwidth = best_rate(device.streams);
  out += fmt::format(
      "bandwidth = {:.4g}  # bytes/s read and written, the fastest copy of those below\n",
      bandwidth);
  for (const auto& [type, samples] : device.products)
    out += fmt::format("{} = {:.4g}  # FLOP/s, the fastest product measured\n", type,
                       best_rate(samples));
  // One curve serves all types: that of the type large models compute in on such a device.
  const bool gpu = device.products.contains("float16");
  const std::string type = gpu ? "bfloat16" : "float32";
  const double peak = best_rate(device.products.at(type));
  out += rate_curve("product", device.products.at(type), peak,
                    "FLOPs of one product, " + type + "; forward and both gradients");
  const auto attention = device.attentions.find(type);
  if (attention != device.attentions.end()) {
    out += rate_curve("attention", attention->second, peak,
                      "head size; FLOPs of the full matrix, forward and backward");
    double middle = 0;  // the length that head sizes were measured at
    for (const Sample& sample : device.lengths) {
      if (sample.work == attention->second[0].work) middle = sample.rate();
    }
    if (middle > 0)
      out += rate_curve("attention_length", device.lengths, middle,
                        "tokens of a sample, beside that of heads of 64");
    out += fmt::format("attention_backward = {:.3g}  # seconds over the forward pass's\n",
                       device.attention_backward);
  }
  out += rate_curve("stream", device.streams, bandwidth, "bytes read and written");
  for (const auto& [key, seconds, what] :
       {std::tuple<const char*, double, const char*>{"activation", device.activation, "GELU"},
        {"activation_gradient", device.activation_gradient, "its gradient, with the bias's"},
        {"norm", device.norm, "LayerNorm"},
        {"norm_gradient", device.norm_gradient, "its gradients"},
        {"loss", device.loss, "cross-entropy and its gradient"}})
    out += fmt::format("{} = {:.3g}  # s an element, {}\n", key, seconds, what);
  if (device.workspace > 0)
    out += fmt::format("workspace = {:.4g}  # bytes, of the matrix product library\n",
                       device.workspace);
  out += fmt::format("launch = {:.3g}  # s, an addition of 16 numbers\n", device.launch);
  for (const auto& [kind, seconds] : device.fixed)
    out += fmt::format("fixed_{} = [{:.3g}, {:.3g}]  # s, forward and backward, next to no size\n",
                       kind, seconds.forward, seconds.backward);
  out += fmt::format("random = {:.3g}  # a second, dropout of 10 %\n", device.random);
  out += link_section(links, gpu);
  out += fmt::format("\n[network]\ndevices = {}\nbandwidth = 1e9  # not measured\nlatency = 1e-5\n",
                     links.ranks);
  out += fmt::format(
      "\n[storage]\nread = {:.4g}  # bytes/s, 64 MiB a rank\nwrite = {:.4g}  # with fsync\n",
      storage.read, storage.write);
  return out;
}

}  // namespace ocoee::cli
