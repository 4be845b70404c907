// SPDX-License-Identifier: Apache-2.0
#include "comm/mesh.h"

#include <set>

#include "comm/backend.h"
#include "comm/mpi_support.h"
#include "comm/world_impl.h"
#include "core/error.h"

namespace ocoee::comm {

const char* name_of(Axis axis) {
  static const char* names[] = {"tensor", "context", "spatial", "data", "pipeline", "instance"};
  return names[static_cast<size_t>(axis)];
}

int Shape::ranks() const {
  int product = 1;
  for (const int extent : size) product *= extent;
  return product;
}

std::array<int, kAxes> coordinate_of(const Shape& shape, int rank) {
  std::array<int, kAxes> coordinate{};
  for (size_t a = 0; a < kAxes; ++a) {
    coordinate[a] = rank % shape.size[a];
    rank /= shape.size[a];
  }
  return coordinate;
}

int rank_of(const Shape& shape, const std::array<int, kAxes>& coordinate) {
  int rank = 0;
  for (size_t a = kAxes; a-- > 0;) rank = rank * shape.size[a] + coordinate[a];
  return rank;
}

namespace {

// The ranks that agree with `own` on every axis outside `varying`, in rank order.
std::vector<int> group_of(const Shape& shape, const std::array<int, kAxes>& own, const std::set<Axis>& varying) {
  std::vector<int> ranks;
  for (int r = 0; r < shape.ranks(); ++r) {
    const auto coordinate = coordinate_of(shape, r);
    bool inside = true;
    for (size_t a = 0; a < kAxes; ++a) {
      if (!varying.contains(static_cast<Axis>(a)) && coordinate[a] != own[a]) inside = false;
    }
    if (inside) ranks.push_back(r);
  }
  return ranks;
}

}  // namespace

Mesh::Mesh(World& world, const Shape& shape, device::Device device, Backend backend) : shape_(shape), device_(device) {
  OCOEE_CHECK(shape.ranks() == world.size(), "a mesh of {} ranks on a world of {}", shape.ranks(), world.size());
  coordinate_ = coordinate_of(shape, world.rank());
  if (backend == Backend::automatic) {
    backend = !device.is_cuda() ? Backend::mpi : world.local_size() <= device::cuda_device_count() ? Backend::nccl : Backend::host_staged;
  }
  const auto make = [&](const std::string& name, const std::set<Axis>& varying, Backend wanted) -> std::shared_ptr<Communicator> {
    const std::vector<int> ranks = group_of(shape, coordinate_, varying);
    if (ranks.size() == 1) return make_self_communicator(name, world.rank());
    MPI_Comm split = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(world.impl().mpi, ranks.front(), world.rank(), &split), "MPI_Comm_split");
    MPI_Comm_set_errhandler(split, MPI_ERRORS_RETURN);
    if (wanted == Backend::nccl) return make_nccl_communicator(name, make_mpi_communicator(name, split, ranks, false), device);
    return make_mpi_communicator(name, split, ranks, wanted == Backend::host_staged);
  };
  for (size_t a = 0; a < kAxes; ++a) {
    const auto axis = static_cast<Axis>(a);
    axes_[a] = make(name_of(axis), {axis}, backend);
  }
  model_ = make("model", {Axis::tensor, Axis::context, Axis::spatial, Axis::pipeline}, backend);
  loss_ = make("loss", {Axis::data, Axis::context, Axis::spatial}, backend);
  world_ = world.host();
}

Mesh::~Mesh() = default;
Mesh::Mesh(Mesh&&) noexcept = default;
Communicator& Mesh::model() { return *model_; }
Communicator& Mesh::loss() { return *loss_; }

}  // namespace ocoee::comm
