// SPDX-License-Identifier: Apache-2.0
// What `ocoee calibrate` measures of the machine at hand, and the profile it makes of it
// (machines/NAME.toml). Every rank measures its device while the others do the same, as in a run.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "device/device.h"

namespace ocoee::cli {

struct Sample {
  double size = 0;     // FLOPs, bytes, or head size
  double seconds = 0;  // of one call
  double work = 0;     // FLOPs or bytes that the call does; size where left out
  double moved = 0;    // CPU: bytes of its operands and results
  double rate() const { return (work > 0 ? work : size) / seconds; }
};

struct LayerSeconds {
  double forward = 0, backward = 0;
};

struct DeviceFigures {
  double memory = 0;                                      // bytes that a rank may take
  std::map<std::string, std::vector<Sample>> products;    // by type, rising FLOPs
  int64_t few_tokens = 0;                                 // GPU: rows of the products that follow
  std::vector<Sample> few_products;                       // of the main type, rising FLOPs
  std::map<std::string, std::vector<Sample>> attentions;  // by type, head sizes; FLOPs of the full
                                                          // matrix, forward and backward
  std::vector<Sample> lengths;    // the same over the tokens of a sample, heads of 64
  std::vector<Sample> rows;       // GPU: over tokens times heads, heads of 64
  double attention_backward = 2;  // seconds over the forward pass's
  std::vector<Sample> streams;    // rising bytes read and written
  std::vector<Sample> reuse;      // CPU: the same pass over rising bytes between two uses of one
  // Seconds an element.
  double activation = 0, activation_gradient = 0, norm = 0, norm_gradient = 0, loss = 0;
  std::map<std::string, LayerSeconds> fixed;  // of layers of next to no size, by kind
  double launch = 0;                          // seconds a small kernel costs
  double random = 0;                          // random numbers a second
  double workspace = 0;                       // bytes that matrix products take while they run
};

// By the products, fused attention and element-wise work that layers use; each twice, and the
// quicker counts. On a GPU on operands that no cache holds, replayed from a graph, as in a run. On
// a CPU on the same operands again and again, less what moving them takes (`reuse`), so that these
// figures are arithmetic. `quick`: once, on few operands. Throws Error(config) in a program built
// without LibTorch.
DeviceFigures measure_device(const device::Device& device, int threads, bool quick);

struct LinkFigures {  // rising bytes of the whole buffer, or of the message
  int ranks = 1;
  std::vector<Sample> all_reduces, gathers;  // the slower of all-gather and reduce-scatter
  std::vector<Sample> messages;              // one way, between neighbours who wait for them
};
// Of a group, while the others of the mesh measure theirs. quick: few calls, small buffers.
LinkFigures measure_links(comm::Mesh& mesh, comm::Communicator& group, bool quick);

// What a GPU's products, those of a backward pass, lose to what goes on beside them.
struct OverlapFigures {
  double reductions = 0;  // seconds for each second of what `beside` says, as the engine starts it
  double waiting = 0;     // share of their time, beside a message that waits for the other side
};
enum class Beside : uint8_t { sums, gathers };  // all-reduces; all-gathers and reduce-scatters
OverlapFigures measure_overlap(comm::Mesh& mesh, comm::Communicator& group,
                               Beside beside = Beside::sums);

struct StorageFigures {
  double read = 0, write = 0;  // bytes/s of a host's ranks together
  double hdf5_read = 0;        // the same through HDF5's library; 0: not there
};
// Of `hosts` that all do this, the mean.
StorageFigures measure_storage(comm::Mesh& mesh, const std::string& folder, int hosts);
// Bytes/s that a host's ranks together read by HDF5's library: float32 in pieces of 1 MiB, not from
// the system's cache. 0 in a program built without HDF5. Throws Error(file).
double measure_hdf5_read(comm::Mesh& mesh, const std::string& folder, int hosts);

struct Hosts {
  int count = 1, ranks = 1;  // ranks of each
};
// `names`: the host of each rank. Throws Error(config) unless all have as many, in a row.
Hosts hosts_of(const std::vector<std::string>& names);

struct Links {
  Hosts hosts;
  LinkFigures node, pairs;  // of one host's ranks; pairs: where there are four of them and more
  LinkFigures network;      // between hosts: of ranks at the same place in each
  std::optional<OverlapFigures> overlap, network_overlap;
  std::optional<LinkFigures> copies;  // gathers by copy engines
  double copy_loss = 0;
};

// What moving a byte takes on a CPU where so many are touched between two uses of it; 0 where
// `reuse` is empty.
double seconds_a_byte(const std::vector<Sample>& reuse, double between);

// A machine profile as TOML, with where each figure comes from.
std::string profile_text(const std::string& name, const std::string& note,
                         const DeviceFigures& device, const Links& links,
                         const StorageFigures& storage, const std::string& device_name);

}  // namespace ocoee::cli
