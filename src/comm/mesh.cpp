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

namespace {

std::array<size_t, kAxes> fastest_first(const Shape& shape) {
  std::array<size_t, kAxes> order{0, 1, 2, 3, 4, 5};
  if (shape.pipeline_inside)
    std::swap(order[static_cast<size_t>(Axis::data)], order[static_cast<size_t>(Axis::pipeline)]);
  return order;
}

}  // namespace

std::array<int, kAxes> coordinate_of(const Shape& shape, int rank) {
  std::array<int, kAxes> coordinate{};
  for (const size_t a : fastest_first(shape)) {
    coordinate[a] = rank % shape.size[a];
    rank /= shape.size[a];
  }
  return coordinate;
}

int rank_of(const Shape& shape, const std::array<int, kAxes>& coordinate) {
  int rank = 0, stride = 1;
  for (const size_t a : fastest_first(shape)) {
    rank += stride * coordinate[a];
    stride *= shape.size[a];
  }
  return rank;
}

std::vector<int> group_of(const Shape& shape, int rank, const std::vector<Axis>& varying) {
  std::array<int, kAxes> corner = coordinate_of(shape, rank);
  Shape inner;
  inner.pipeline_inside = shape.pipeline_inside;
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

std::vector<int> shard_group_of(const std::vector<int>& replicas, int group, int rank) {
  const auto at = std::find(replicas.begin(), replicas.end(), rank) - replicas.begin();
  const auto first = replicas.begin() + at / group * group;
  return {first, first + group};
}

std::vector<int> twins_of(const std::vector<int>& replicas, int group, int rank) {
  const auto at = std::find(replicas.begin(), replicas.end(), rank) - replicas.begin();
  std::vector<int> out;
  for (size_t i = static_cast<size_t>(at % group); i < replicas.size();
       i += static_cast<size_t>(group))
    out.push_back(replicas[i]);
  return out;
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
  OCOEE_CHECK(shape.shard_group >= 0 &&
                  (shape.shard_group == 0 || shape.replicas() % shape.shard_group == 0),
              "groups of {} in {} replicas", shape.shard_group, shape.replicas());
  coordinate_ = coordinate_of(shape, world.rank());
  on_one_host_ = world.local_size() == world.size();
  if (backend == Backend::automatic) backend = automatic_backend(world, device);

  std::map<std::vector<int>, std::shared_ptr<Communicator>> connected;  // NCCL, by ranks
  const auto make_over = [&](const std::string& name, const std::vector<int>& ranks,
                             bool shares = true,
                             bool copies = false) -> std::shared_ptr<Communicator> {
    if (ranks.size() == 1) return make_self_communicator(name, world.rank());
    MPI_Comm split = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(world.impl().mpi, ranks.front(), world.rank(), &split),
              "MPI_Comm_split");
    std::shared_ptr<Communicator> host = make_mpi_communicator(name, split, ranks);
    if (backend == Backend::mpi) return host;
    if (backend == Backend::host_staged) return make_staged_communicator(name, host);
    const bool by_copies = copies || shape.copy_engines == CopyEngines::all;
    const NcclOptions options{shape.message_multiprocessors, by_copies && shares};
    if (!shares) return make_nccl_communicator(name, host, device, options);
    std::shared_ptr<Communicator>& twin = connected[ranks];
    std::shared_ptr<Communicator> made = make_nccl_communicator(name, host, device, options, twin);
    if (!twin) twin = made;
    return made;
  };
  const auto make = [&](const std::string& name, const std::vector<Axis>& varying,
                        bool shares = true, bool copies = false) {
    return make_over(name, group_of(shape, world.rank(), varying), shares, copies);
  };
  for (size_t a = 0; a < kAxes; ++a) {
    const auto axis = static_cast<Axis>(a);
    const bool copies = (axis == Axis::tensor && shape.copy_engines != CopyEngines::off) ||
                        (axis == Axis::data && shape.copy_engines == CopyEngines::tensor_and_data);
    // What goes round the context axis does not queue behind gradients of the same ranks.
    axes_[a] = make(name_of(axis), {axis}, /*shares=*/axis != Axis::context, copies);
  }
  model_ = make("model", {Axis::tensor, Axis::context, Axis::spatial, Axis::pipeline});
  loss_ = make("loss", {Axis::data, Axis::context, Axis::spatial});
  back_ = make("pipeline_back", {Axis::pipeline}, /*shares=*/false);
  const std::shared_ptr<Communicator> ahead = axes_[static_cast<size_t>(Axis::pipeline)];
  links_ = {ahead, ahead, back_, back_};
  if (backend == Backend::nccl && ahead->size() > 1) {
    links_[1] = make("pipeline_odd", {Axis::pipeline}, /*shares=*/false);
    links_[3] = make("pipeline_back_odd", {Axis::pipeline}, /*shares=*/false);
  }
  const bool only_data = shape.replicas() == shape[Axis::data];
  replicas_ = only_data ? axes_[static_cast<size_t>(Axis::data)]
                        : make("replicas", {Axis::data, Axis::context, Axis::spatial});
  if (shape.shard_group == 0 || shape.shard_group == shape.replicas()) {
    shard_ = replicas_;
    twins_ = make_self_communicator("twins", world.rank());
  } else {
    const std::vector<int> all =
        group_of(shape, world.rank(), {Axis::data, Axis::context, Axis::spatial});
    shard_ = make_over("shard", shard_group_of(all, shape.shard_group, world.rank()));
    twins_ = make_over("twins", twins_of(all, shape.shard_group, world.rank()));
  }
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

std::vector<Communicator*> Mesh::communicators() const {
  std::vector<Communicator*> out;
  const auto add = [&](const std::shared_ptr<Communicator>& one) {
    if (one->size() > 1 && std::find(out.begin(), out.end(), one.get()) == out.end())
      out.push_back(one.get());
  };
  for (const auto& axis : axes_) add(axis);
  for (const auto& link : links_) add(link);
  for (const auto& other : {back_, replicas_, shard_, twins_, model_, loss_}) add(other);
  return out;
}

bool Mesh::capturable() const {
  const auto all = communicators();
  return std::all_of(all.begin(), all.end(),
                     [](const Communicator* one) { return one->capturable(); });
}

}  // namespace ocoee::comm
