// SPDX-License-Identifier: Apache-2.0
#include "comm/mesh.h"

#include <algorithm>
#include <map>
#include <set>

#include "comm/backend.h"
#include "comm/mpi_support.h"
#include "comm/world_impl.h"
#include "core/error.h"
#include "core/log.h"

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

std::vector<int> group_of(const Shape& shape, int rank, const std::vector<Axis>& varying) {
  std::array<int, kAxes> corner = coordinate_of(shape, rank);
  Shape inner;
  for (const Axis axis : varying) {
    corner[static_cast<size_t>(axis)] = 0;
    inner[axis] = shape[axis];
  }
  std::vector<int> ranks;
  for (int i = 0; i < inner.ranks(); ++i) {
    std::array<int, kAxes> at = coordinate_of(inner, i);
    for (size_t a = 0; a < kAxes; ++a) at[a] += corner[a];
    ranks.push_back(rank_of(shape, at));
  }
  return ranks;
}

namespace {

Backend automatic_backend(World& world, const device::Device& device) {
  if (!device.is_cuda()) return Backend::mpi;
  const std::vector<std::string> ids = world.host()->all_gather_text(device::properties(device).id);
  const bool shared = std::set<std::string>(ids.begin(), ids.end()).size() < ids.size();
  if (!shared && nccl_available()) return Backend::nccl;
  if (world.rank() == 0 && world.size() > 1) {
    log::warn("{}: GPU buffers go through the host, which is slow",
              shared ? "several ranks share one GPU" : "this program was built without NCCL");
  }
  return Backend::host_staged;
}

}  // namespace

Mesh::Mesh(World& world, const Shape& shape, device::Device device, Backend backend)
    : shape_(shape), device_(device) {
  OCOEE_CHECK(*std::min_element(shape.size.begin(), shape.size.end()) >= 1, "an axis of no ranks");
  OCOEE_CHECK(shape.ranks() == world.size(), "a mesh of {} ranks on a world of {}", shape.ranks(),
              world.size());
  coordinate_ = coordinate_of(shape, world.rank());
  if (backend == Backend::automatic) backend = automatic_backend(world, device);

  std::map<std::vector<int>, std::shared_ptr<Communicator>> connected;  // NCCL, by ranks
  const auto make = [&](const std::string& name, const std::vector<Axis>& varying,
                        bool shares = true) -> std::shared_ptr<Communicator> {
    const std::vector<int> ranks = group_of(shape, world.rank(), varying);
    if (ranks.size() == 1) return make_self_communicator(name, world.rank());
    MPI_Comm split = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(world.impl().mpi, ranks.front(), world.rank(), &split),
              "MPI_Comm_split");
    std::shared_ptr<Communicator> host = make_mpi_communicator(name, split, ranks);
    if (backend == Backend::mpi) return host;
    if (backend == Backend::host_staged) return make_staged_communicator(name, host);
    if (!shares) return make_nccl_communicator(name, host, device);
    std::shared_ptr<Communicator>& twin = connected[ranks];
    std::shared_ptr<Communicator> made = make_nccl_communicator(name, host, device, twin);
    if (!twin) twin = made;
    return made;
  };
  for (size_t a = 0; a < kAxes; ++a) {
    const auto axis = static_cast<Axis>(a);
    axes_[a] = make(name_of(axis), {axis});
  }
  model_ = make("model", {Axis::tensor, Axis::context, Axis::spatial, Axis::pipeline});
  loss_ = make("loss", {Axis::data, Axis::context, Axis::spatial});
  back_ = make("pipeline_back", {Axis::pipeline}, /*shares=*/false);
  world_ = world.host();
}

Mesh::~Mesh() = default;
Mesh::Mesh(Mesh&&) noexcept = default;
Communicator& Mesh::model() {
  return *model_;
}
Communicator& Mesh::loss() {
  return *loss_;
}
Communicator& Mesh::replicas() {
  return shape_[Axis::context] * shape_[Axis::spatial] == 1 ? axis(Axis::data) : *loss_;
}

}  // namespace ocoee::comm
