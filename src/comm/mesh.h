// SPDX-License-Identifier: Apache-2.0
// The ranks arranged into named axes. Fastest first: tensor, context, spatial, data, pipeline,
// instance; or pipeline before data, which then lies further apart. An axis of size 1 costs nothing
// (a self communicator). A mesh can be built over any set of ranks, as often as one likes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/world.h"

namespace ocoee::comm {

enum class Axis : uint8_t { tensor, context, spatial, data, pipeline, instance };
constexpr int kAxes = 6;
const char* name_of(Axis axis);

// Of GPUs of one host: the axes whose large sums and gathers go by copy engines (peer_copies.h),
// not by NCCL. all: also what goes over several axes at once.
enum class CopyEngines : uint8_t { off, tensor, tensor_and_data, all };

struct Shape {  // ranks along each axis
  std::array<int, kAxes> size{1, 1, 1, 1, 1, 1};
  // Hybrid sharding: of the ranks with the same weights (data x context x spatial), how many
  // neighbours share one copy of the states; the others repeat it. 0: all of them.
  int shard_group = 0;
  // NCCL: multiprocessors that a message may take; 0: as NCCL chooses.
  int message_multiprocessors = 0;
  CopyEngines copy_engines = CopyEngines::off;
  bool pipeline_inside = false;  // the stages of a pipeline lie nearer together than its replicas
  int& operator[](Axis axis) { return size[static_cast<size_t>(axis)]; }
  int operator[](Axis axis) const { return size[static_cast<size_t>(axis)]; }
  int ranks() const;
  int replicas() const {
    return (*this)[Axis::data] * (*this)[Axis::context] * (*this)[Axis::spatial];
  }
};
// Coordinate of a rank, by axis, and back.
std::array<int, kAxes> coordinate_of(const Shape& shape, int rank);
int rank_of(const Shape& shape, const std::array<int, kAxes>& coordinate);
// The ranks that share with `rank` the coordinates of all axes but the `varying`, ascending.
std::vector<int> group_of(const Shape& shape, int rank, const std::vector<Axis>& varying);
// Hybrid sharding: `rank`'s group of neighbours among the replicas, and the ranks at its place in
// the other groups.
std::vector<int> shard_group_of(const std::vector<int>& replicas, int group, int rank);
std::vector<int> twins_of(const std::vector<int>& replicas, int group, int rank);

enum class Backend : uint8_t { automatic, mpi, nccl, host_staged };

class Mesh {
 public:
  // Collective over the world, whose size must be shape.ranks().
  // automatic: MPI for CPU devices; NCCL for GPUs, host-staged where ranks share a GPU or there is
  // no NCCL.
  Mesh(World& world, const Shape& shape, device::Device device,
       Backend backend = Backend::automatic);
  ~Mesh();
  Mesh(Mesh&&) noexcept;

  const Shape& shape() const { return shape_; }
  int size(Axis axis) const { return shape_[axis]; }
  int coordinate(Axis axis) const { return coordinate_[static_cast<size_t>(axis)]; }
  Communicator& axis(Axis axis) { return *axes_[static_cast<size_t>(axis)]; }
  std::shared_ptr<Communicator> shared_axis(Axis axis) { return axes_[static_cast<size_t>(axis)]; }
  Communicator& model();  // tensor x context x spatial x pipeline: the ranks that hold one replica
  Communicator& world() { return *world_; }  // all ranks of the mesh, host buffers
  Communicator& loss();  // data x context x spatial: where sums of losses and weights are reduced
  // The ranks with the same weights, data x context x spatial: gradients are summed over them. The
  // data axis itself where the other two are 1. They fall into shard() groups, each with one copy
  // of what is sharded; twins() hold the same slice of it in the other groups.
  Communicator& replicas() { return *replicas_; }
  Communicator& shard() { return *shard_; }
  Communicator& twins() { return *twins_; }
  // Every communicator of the mesh that has more than one rank, each once.
  std::vector<Communicator*> communicators() const;
  // Whether a step that uses all of them may be captured as a CUDA graph.
  bool capturable() const;
  // The pipeline axis again, for what goes against the stream.
  Communicator& pipeline_back() { return *back_; }
  // The queue of messages from stage `from` to the next (forward), or to the one before. On a GPU
  // messages of a queue wait for each other, so what a stage sends and what it receives lie in
  // queues apart: in one, a ring of stages that all send first (interleaved schedules) would stop.
  Communicator& link(bool forward, int from) {
    return *links_[(forward ? 0U : 2U) + static_cast<size_t>(from % 2)];
  }
  bool on_one_host() const { return on_one_host_; }  // all its ranks
  device::Device device() const { return device_; }

 private:
  Shape shape_;
  std::array<int, kAxes> coordinate_{};
  device::Device device_;
  bool on_one_host_ = false;
  std::array<std::shared_ptr<Communicator>, kAxes> axes_;
  std::array<std::shared_ptr<Communicator>, 4> links_;
  std::shared_ptr<Communicator> model_, loss_, world_, back_, replicas_, shard_, twins_;
};

}  // namespace ocoee::comm
