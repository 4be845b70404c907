// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "cli/calibrate.h"
#include "core/error.h"
#include "plan/machine.h"

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

// Shares of `bandwidth` that `passes` of each size reach once `latency` is off. On a busy machine
// the latency of small ones can be more than a larger one took.
std::string link_curve(const std::string& name, const std::vector<Sample>& samples, double passes,
                       double latency, double bytes_of_all, double bandwidth,
                       const std::string& what) {
  std::vector<double> at, share;
  for (const Sample& sample : samples) {
    if (sample.size < 4e3) continue;  // all latency
    const double spent = std::max(sample.seconds - latency, sample.seconds / 8) / passes;
    at.push_back(sample.size);
    share.push_back(std::min(1.0, sample.size * bytes_of_all / spent / bandwidth));
  }
  return curve(name, at, share, what);
}

double fastest(const std::vector<Sample>& samples, double passes, double bytes_of_all) {
  double best = 0;
  for (const Sample& sample : samples)
    best = std::max(best, sample.size * bytes_of_all / (sample.seconds / passes));
  return best;
}

// The links of a group of n ranks. In an all-reduce a ring passes 2 (n - 1) messages one after the
// other, in an all-gather n - 1, and either takes a call; each pass is (n - 1) / n of all bytes.
std::string link_section(const std::string& name, const LinkFigures& links,
                         const std::optional<OverlapFigures>& overlap, int devices,
                         const std::optional<LinkFigures>& copies = {}, double copy_loss = 0) {
  if (links.ranks == 1)
    return "\n[node]\ndevices = 1  # measured with one rank; start more to measure their links\n"
           "bandwidth = 1e9\nlatency = 1e-6\n";
  const double n = links.ranks, share = (n - 1) / n;
  const double reduce = links.all_reduces[0].seconds,
               gather = std::min(links.gathers[0].seconds, reduce);
  const double latency = (reduce - gather) / (n - 1), call = std::max(0.0, 2 * gather - reduce),
               message = links.messages[0].seconds;
  const double bandwidth =
      std::max({fastest(links.all_reduces, 2, share), fastest(links.gathers, 1, share),
                fastest(links.messages, 1, 1)});
  std::string copied;
  if (copies)
    copied = link_curve("copy_efficiency", copies->gathers, 1, gather, share, bandwidth,
                        "bytes of the same by copy engines") +
             fmt::format("copy_loss = {:.2f}  # products beside such, of 32 MiB\n",
                         std::min(copy_loss, 2.0));
  const std::string loss =
      overlap ? fmt::format(
                    "{:.2f}  # products beside all-reduces of 32 MiB\nwaiting_loss = "
                    "{:.3f}  # products beside a message that waits for the other side",
                    std::min(overlap->reductions, 2.0), std::min(overlap->waiting, 1.0))
              : "1  # a rank's threads move its data themselves";
  return fmt::format(
             "\n[{}]\ndevices = {}\nbandwidth = {:.4g}  # bytes/s one way, the fastest of what "
             "follows\nlatency = {:.3g}  # s, of a message in a collective: all-reduce less "
             "all-gather of 16 bytes\ncall = {:.3g}  # s, the rest of them\nmessage_latency = "
             "{:.3g}  # s, of a message by itself\noverlap_loss = {}\n",
             name, devices, bandwidth, latency, call, message, loss) +
         link_curve("efficiency", links.all_reduces, 2, reduce, share, bandwidth,
                    "bytes of an all-reduce") +
         link_curve("gather_efficiency", links.gathers, 1, gather, share, bandwidth,
                    "bytes of an all-gather or reduce-scatter, the slower of the two") +
         copied +
         link_curve("message_efficiency", links.messages, 1, message, 1, bandwidth,
                    "bytes of a message by itself");
}

// One curve serves all types: that of the type large models compute in on such a device.
std::string curve_type(const DeviceFigures& device) {
  return device.products.contains("float16") ? "bfloat16" : "float32";
}

std::string product_lines(const DeviceFigures& device) {
  std::string out;
  for (const auto& [type, samples] : device.products)
    out += fmt::format("{} = {:.4g}  # FLOP/s, the fastest product measured\n", type,
                       best_rate(samples));
  const std::string type = curve_type(device);
  const double peak = best_rate(device.products.at(type));
  out += rate_curve("product", device.products.at(type), peak,
                    "FLOPs of one product, " + type + "; forward and both gradients");
  if (device.few_tokens > 0) {
    out += fmt::format("few_tokens = {}\n", device.few_tokens);
    out += rate_curve("product_few", device.few_products, peak, "the same with so many tokens");
  }
  return out;
}

std::string attention_lines(const DeviceFigures& device) {
  const auto found = device.attentions.find(curve_type(device));
  if (found == device.attentions.end()) return "";
  const std::vector<Sample>& heads = found->second;
  std::string out = rate_curve("attention", heads, best_rate(device.products.at(found->first)),
                               "head size; FLOPs of the full matrix, forward and backward");
  double middle = 0;  // the length that head sizes were measured at
  for (const Sample& sample : device.lengths) {
    if (sample.work == heads[0].work) middle = sample.rate();
  }
  if (middle > 0)
    out += rate_curve("attention_length", device.lengths, middle,
                      "tokens of a sample, beside that of heads of 64");
  if (!device.rows.empty())
    out += rate_curve("attention_rows", device.rows, device.rows.back().rate(),
                      "tokens times heads of a micro-batch, beside the last");
  return out + fmt::format("attention_backward = {:.3g}  # seconds over the forward pass's\n",
                           device.attention_backward);
}

std::string pass_lines(const DeviceFigures& device, double bandwidth) {
  std::string out = rate_curve("stream", device.streams, bandwidth, "bytes read and written");
  if (!device.reuse.empty())
    out += rate_curve("reuse", device.reuse, bandwidth,
                      "bytes touched between two uses of what a pass moves; what arithmetic takes, "
                      "above and below, is beside that");
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
  return out;
}

std::string link_sections(const Links& links) {
  const Hosts& hosts = links.hosts;
  const int ranks = hosts.count * hosts.ranks;
  std::string out;
  if (links.pairs.ranks > 1)
    out += link_section("package", links.pairs, links.overlap, links.pairs.ranks);
  out +=
      link_section("node", links.node, links.overlap, hosts.ranks, links.copies, links.copy_loss);
  if (hosts.count > 1)
    out += link_section("network", links.network, links.network_overlap, ranks);
  else
    out += fmt::format(
        "\n[network]\ndevices = {}\nbandwidth = 1e9  # not measured\nlatency = 1e-5\n", ranks);
  return out;
}

std::string storage_section(const StorageFigures& storage) {
  std::string out = fmt::format(
      "\n[storage]\nread = {:.4g}  # bytes/s, 64 MiB a rank, not from a cache\nwrite = {:.4g}  # "
      "with fsync\n",
      storage.read, storage.write);
  if (storage.hdf5_read > 0)
    out += fmt::format(
        "hdf5_read = {:.4g}  # bytes/s, HDF5's library: 64 MiB of float32 a rank, 1 MiB at a "
        "time\n",
        storage.hdf5_read);
  return out;
}

}  // namespace

Hosts hosts_of(const std::vector<std::string>& names) {
  Hosts hosts;
  const auto last = std::find_if(names.begin(), names.end(),
                                 [&](const std::string& name) { return name != names.front(); });
  const std::ptrdiff_t ranks = last - names.begin();
  std::set<std::string> seen;
  bool regular = std::ssize(names) % ranks == 0;
  for (std::ptrdiff_t r = 0; regular && r < std::ssize(names); ++r) {
    const std::string& name = names[static_cast<size_t>(r)];
    regular = r % ranks == 0 ? seen.insert(name).second : name == names[static_cast<size_t>(r - 1)];
  }
  if (!regular)
    fail(ErrorKind::config,
         "calibrate: links of a node are measured apart from those between nodes, which takes as "
         "many ranks on each host, in a row; here they run on {}\n    fix: srun "
         "--ntasks-per-node N, or mpirun --map-by ppr:N:node",
         fmt::join(names, ", "));
  hosts.ranks = static_cast<int>(ranks);
  hosts.count = static_cast<int>(seen.size());
  return hosts;
}

double seconds_a_byte(const std::vector<Sample>& reuse, double between) {
  plan::Curve rate;
  for (const Sample& sample : reuse) {
    rate.at.push_back(sample.size);
    rate.share.push_back(sample.rate());
  }
  return reuse.empty() ? 0 : 1 / rate(between);
}

std::string profile_text(const std::string& name, const std::string& note,
                         const DeviceFigures& device, const Links& links,
                         const StorageFigures& storage, const std::string& device_name) {
  const Hosts& hosts = links.hosts;
  const int ranks = hosts.count * hosts.ranks;
  std::string out = fmt::format(
      "version = 1\n# Measured by `ocoee calibrate` with {} rank{}{}.\n\n[machine]\nname = "
      "\"{}\"\nnote = \"{}\"\n\n[device]\nname = \"{}\"\nmemory = {:.4g}  # bytes\n",
      ranks, ranks == 1 ? "" : "s", hosts.count > 1 ? fmt::format(" on {} hosts", hosts.count) : "",
      name, note, device_name, device.memory);
  const double bandwidth = std::max(best_rate(device.streams), best_rate(device.reuse));
  out += fmt::format(
      "bandwidth = {:.4g}  # bytes/s read and written, the fastest of the passes below\n",
      bandwidth);
  return out + product_lines(device) + attention_lines(device) + pass_lines(device, bandwidth) +
         link_sections(links) + storage_section(storage);
}

}  // namespace ocoee::cli
