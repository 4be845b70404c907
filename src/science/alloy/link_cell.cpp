// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/link_cell.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace ocoee::alloy {
namespace {

using kernels::AlloyBond;
using kernels::AlloyLattice;
using kernels::AlloySums;

// The kernels' axes, fastest first: z, y, x; of a square, whose z is one cell, y, z, x. Either way
// the numbers of sites stay what they are, and slabs are cut along x.
std::array<int, 3> axes_of(const std::string& lattice) {
  return lattice == "square" ? std::array<int, 3>{1, 2, 0} : std::array<int, 3>{2, 1, 0};
}

int planes_for(int species) {
  return species <= 2 ? 1 : species <= 4 ? 2 : 4;
}

device::Memory on_device(const void* data, size_t bytes, const device::Stream& stream) {
  device::Memory memory(bytes, device::Memory::Where::device, stream.device);
  if (data) {
    device::copy(memory.data(), stream.device, data, {}, bytes, stream);
  } else {
    device::set_zero({memory.data(), static_cast<int64_t>(bytes), DType::u8, stream.device},
                     stream);
  }
  device::synchronize(stream);
  return memory;
}

void check(const LinkCellSetup& s) {
  if (s.species < 2 || s.species > 16)
    fail(ErrorKind::config, "{} species; link cells take 2 to 16", s.species);
  if (s.shells < 1) fail(ErrorKind::config, "link cells need at least one shell");
  OCOEE_CHECK(s.energies.size() == static_cast<size_t>(s.shells * s.species * s.species),
              "{} energies for {} shells of {} species", s.energies.size(), s.shells, s.species);
  if (s.lattice == "square" && s.cells[2] != 1)
    fail(ErrorKind::config, "a square lattice of {} layers\n    fix: one cell along z, or sc",
         s.cells[2]);
  if (s.temperatures.empty()) fail(ErrorKind::config, "link cells need a temperature");
  for (const double t : s.temperatures)
    if (!(t > 0) || !std::isfinite(t))
      fail(ErrorKind::config, "a temperature of {}\n    expected: above 0", t);
  if (s.trials < 0) fail(ErrorKind::config, "{} trials a link cell", s.trials);
}

}  // namespace

LinkCellSetup link_cell_setup(const std::string& lattice, const std::array<int64_t, 3>& cells,
                              const PairInteractions& pairs,
                              const std::vector<double>& temperatures) {
  LinkCellSetup s;
  s.lattice = lattice, s.cells = cells;
  s.species = pairs.count(), s.shells = pairs.shells, s.energies = pairs.values;
  for (const double t : temperatures) s.temperatures.push_back(t * pairs.boltzmann());
  return s;
}

namespace {

struct Prepared {
  AlloyLattice lattice;
  std::vector<AlloyBond> bonds;
  std::vector<int32_t> energies;
  double quantum = 1;
};
Prepared prepare(const LinkCellSetup& setup) {
  check(setup);
  Prepared p;
  const std::array<int, 3> axes = axes_of(setup.lattice);
  for (size_t d = 0; d < 3; ++d) p.lattice.cells[d] = setup.cells[static_cast<size_t>(axes[d])];
  p.lattice.basis = kernels::alloy_basis(setup.lattice);
  p.lattice.planes = planes_for(setup.species);
  p.lattice.replicas = static_cast<int64_t>(setup.temperatures.size());
  int neighbours = 0;
  p.bonds = kernels::alloy_bonds(setup.lattice, setup.shells);
  for (AlloyBond& bond : p.bonds) {
    const AlloyBond of_lattice = bond;
    for (size_t d = 0; d < 3; ++d) bond.cell[d] = of_lattice.cell[axes[d]];
    neighbours += bond.from == 0;
  }
  p.quantum = kernels::alloy_quantum(setup.energies, neighbours);
  for (const double e : setup.energies)
    p.energies.push_back(static_cast<int32_t>(std::lround(e / p.quantum)));
  return p;
}

}  // namespace

namespace {

// Layers of the neighbours that a rank stores, below and above its own. Error(config) where slabs
// are too thin for them.
std::array<int64_t, 2> halo_of(const kernels::AlloyGeometry& g, int64_t depth, int64_t ranks) {
  if (ranks == 1) return {0, 0};
  const int64_t below = g.reach[2], above = g.core[2] - 1 + g.reach[2];
  const int64_t thinnest = depth / ranks, thickest = (depth + ranks - 1) / ranks;
  if (thinnest < above || thickest + below + above > depth)
    fail(ErrorKind::config,
         "{} cells along x in slabs for {} ranks: {} to {} cells each\n    expected: at least "
         "{} a rank, and that a slab and its surroundings ({} more) fit into the crystal\n"
         "    fix: fewer ranks, or a longer crystal",
         depth, ranks, thinnest, thickest, above, below + above);
  return {below, above};
}

}  // namespace

std::vector<double> link_cell_coordination(const std::string& lattice, int shells) {
  std::vector<double> out(static_cast<size_t>(shells), 0);
  for (const AlloyBond& bond : kernels::alloy_bonds(lattice, shells))
    out[static_cast<size_t>(bond.shell)] += 1.0 / kernels::alloy_basis(lattice);
  return out;
}

void check_link_cells(const LinkCellSetup& setup, int ranks) {
  const Prepared p = prepare(setup);
  const kernels::AlloyRules rules(p.lattice, p.bonds, setup.species, p.energies);
  halo_of(rules.geometry(), p.lattice.cells[2], ranks);
}

LinkCellSampler::LinkCellSampler(LinkCellSetup setup, std::shared_ptr<comm::Communicator> ranks,
                                 device::Device device)
    : setup_(std::move(setup)),
      ranks_(std::move(ranks)),
      device_(device),
      stream_{nullptr, device} {
  Prepared p = prepare(setup_);
  lattice_ = p.lattice, bonds_ = std::move(p.bonds), energies_ = std::move(p.energies);
  quantum_ = p.quantum;
  rules_ = std::make_unique<kernels::AlloyRules>(lattice_, bonds_, setup_.species, energies_);

  const kernels::AlloyGeometry& g = rules_->geometry();
  const int64_t depth = lattice_.cells[2], size = ranks_->size(), rank = ranks_->rank();
  begin_ = depth * rank / size, end_ = depth * (rank + 1) / size;
  const std::array<int64_t, 2> halo = halo_of(g, depth, size);
  below_ = halo[0], above_ = halo[1];
  lattice_.first_layer = begin_ - below_;
  lattice_.layers = end_ - begin_ + below_ + above_;

  words_ = on_device(nullptr, static_cast<size_t>(lattice_.words()) * 4, stream_);
  tables_ = on_device(rules_->tables().data(), rules_->tables().size() * 4, stream_);
  beta_ = on_device(nullptr, setup_.temperatures.size() * sizeof(float), stream_);
  set_temperatures(setup_.temperatures);
  sums_ = on_device(
      nullptr, static_cast<size_t>(replicas() * AlloySums::kSlots) * sizeof(AlloySums), stream_);
  device_bonds_ = on_device(bonds_.data(), bonds_.size() * sizeof(AlloyBond), stream_);
  counts_ = on_device(nullptr, setup_.energies.size() * sizeof(uint64_t), stream_);
  if (setup_.trials == 0) setup_.trials = g.core_sites;
}

void LinkCellSampler::set_temperatures(const std::vector<double>& temperatures) {
  OCOEE_CHECK(static_cast<int64_t>(temperatures.size()) == replicas(), "{} temperatures for {}",
              temperatures.size(), replicas());
  std::vector<float> beta;
  for (const double t : temperatures) beta.push_back(static_cast<float>(quantum_ / t));
  device::copy(beta_.data(), device_, beta.data(), {}, beta.size() * sizeof(float), stream_);
  device::synchronize(stream_);
}

int64_t LinkCellSampler::trials_a_step() const {
  const kernels::AlloyGeometry& g = rules_->geometry();
  return g.links[0] * g.links[1] * g.links[2] * setup_.trials;
}

uint32_t* LinkCellSampler::replica_words(int64_t replica) const {
  return static_cast<uint32_t*>(words_.data()) + replica * lattice_.layers * lattice_.layer_words();
}

device::Buffer LinkCellSampler::layers(int64_t replica, int64_t first, int64_t count) const {
  return {replica_words(replica) + first * lattice_.layer_words(),
          count * lattice_.layer_words() * 4, DType::u8, device_};
}

void LinkCellSampler::copy_layers(int64_t replica, int64_t first, int64_t count, void* host,
                                  bool to_host) const {
  const device::Buffer part = layers(replica, first, count);
  if (to_host) {
    device::copy(host, {}, part.data, device_, part.bytes(), stream_);
  } else {
    device::copy(part.data, device_, host, {}, part.bytes(), stream_);
  }
  device::synchronize(stream_);
}

void LinkCellSampler::assign(int64_t replica, const std::vector<uint8_t>& species) {
  OCOEE_CHECK(static_cast<int64_t>(species.size()) == sites(), "{} species for {} sites",
              species.size(), sites());
  for (const uint8_t s : species)
    if (s >= setup_.species) fail(ErrorKind::data, "species {} of {}", s, setup_.species);
  AlloyLattice own = lattice_;
  own.replicas = 1, own.layers = end_ - begin_;
  std::vector<uint32_t> words(static_cast<size_t>(own.words()));
  kernels::pack_species(own, species.data() + begin_ * (sites() / lattice_.cells[2]), words.data());
  copy_layers(replica, below_, own.layers, words.data(), false);
}

void LinkCellSampler::fill(const std::vector<double>& shares) {
  OCOEE_CHECK(static_cast<int>(shares.size()) == setup_.species, "{} shares for {} species",
              shares.size(), setup_.species);
  double total = 0, sum = 0;
  for (const double s : shares) total += s;
  kernels::AlloyFill a;
  a.first_replica = setup_.first_replica;
  a.lattice = lattice_, a.species = setup_.species, a.seed = setup_.seed;
  a.words = static_cast<uint32_t*>(words_.data());
  for (size_t s = 0; s < shares.size(); ++s) {
    sum += shares[s];
    a.threshold[s] = static_cast<uint32_t>(std::min(sum / total * 0x1p32, 4294967295.0));
  }
  kernels::alloy_fill(a, stream_);
}

std::vector<uint8_t> LinkCellSampler::species(int64_t replica) {
  AlloyLattice own = lattice_;
  own.replicas = 1, own.layers = end_ - begin_;
  std::vector<uint32_t> words(static_cast<size_t>(own.words()));
  copy_layers(replica, below_, own.layers, words.data(), true);
  std::string mine(static_cast<size_t>(own.layers * (sites() / lattice_.cells[2])), '\0');
  kernels::unpack_species(own, words.data(), reinterpret_cast<uint8_t*>(mine.data()));
  std::vector<uint8_t> all;
  for (const std::string& part : ranks_->all_gather_text(mine))
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

kernels::AlloySwap LinkCellSampler::arguments() const {
  kernels::AlloySwap a;
  a.lattice = lattice_, a.geometry = rules_->geometry();
  a.tables = static_cast<const int32_t*>(tables_.data());
  a.beta = static_cast<const float*>(beta_.data());
  a.words = static_cast<uint32_t*>(words_.data());
  a.sums = static_cast<AlloySums*>(sums_.data());
  a.trials = setup_.trials, a.seed = setup_.seed, a.step = static_cast<uint64_t>(step_);
  a.first_replica = setup_.first_replica;
  return a;
}

void LinkCellSampler::advance(int64_t steps) {
  const kernels::AlloyGeometry& g = rules_->geometry();
  for (int64_t s = 0; s < steps; ++s, ++step_) {
    if (ranks_->size() == 1) {
      kernels::AlloySwap a = arguments();
      a.link_layers = g.links[2];
      kernels::alloy_swap(a, stream_);
      continue;
    }
    exchange_halos();
    for (int64_t r = 0; r < replicas(); ++r) {
      kernels::AlloySwap a = arguments();
      a.lattice.replicas = 1, a.words = replica_words(r), a.first_replica += r;
      a.beta += r, a.sums += r * AlloySums::kSlots;
      const int64_t origin = kernels::alloy_origin(lattice_, a.seed, a.step, a.first_replica).at[2];
      // The link cells whose cores begin in this slab: one or two runs of numbers.
      for (int64_t k = 0; k < g.links[2];) {
        const auto here = [&](int64_t link) {
          const int64_t at = (origin + link * g.period[2]) % lattice_.cells[2];
          return at >= begin_ && at < end_;
        };
        int64_t next = k;
        while (next < g.links[2] && here(next)) ++next;
        a.first_link = k, a.link_layers = next - k;
        if (a.link_layers > 0) kernels::alloy_swap(a, stream_);
        k = std::max(next, k + 1);
      }
    }
    hand_on();
  }
}

// In a queue of GPU messages each waits for the one before it, so that neighbours who all received
// first would wait for ever: every second rank sends first.
void LinkCellSampler::exchange(const std::vector<Message>& messages) {
  const int next = (ranks_->rank() + 1) % ranks_->size(),
            previous = (ranks_->rank() + ranks_->size() - 1) % ranks_->size();
  const bool sends_first = ranks_->rank() % 2 == 0;
  std::vector<comm::WorkHandle> under_way;
  for (const Message& m : messages)
    for (const bool sends : {sends_first, !sends_first})
      under_way.push_back(sends
                              ? ranks_->send_async(m.out, m.to_next ? next : previous, stream_)
                              : ranks_->receive_async(m.in, m.to_next ? previous : next, stream_));
  for (const comm::WorkHandle& work : under_way) work->wait(stream_);
}

void LinkCellSampler::exchange_halos() {
  if (ranks_->size() == 1) return;
  const int64_t own = end_ - begin_;
  std::vector<Message> messages;
  for (int64_t r = 0; r < replicas(); ++r) {
    if (below_ > 0) messages.push_back({layers(r, own, below_), layers(r, 0, below_), true});
    if (above_ > 0)
      messages.push_back({layers(r, below_, above_), layers(r, below_ + own, above_), false});
  }
  exchange(messages);
}

// Whether the crystal's layer begin_ + layer belongs to a core that begins in the previous slab.
bool LinkCellSampler::moved_by_previous(int64_t replica, int64_t layer) const {
  const kernels::AlloyGeometry& g = rules_->geometry();
  const int64_t depth = lattice_.cells[2],
                origin = kernels::alloy_origin(lattice_, setup_.seed, static_cast<uint64_t>(step_),
                                               setup_.first_replica + replica)
                             .at[2];
  for (int64_t back = layer + 1; back < g.core[2]; ++back) {
    const int64_t ahead = (begin_ + layer - back - origin + 2 * depth) % depth;
    if (ahead % g.period[2] == 0 && ahead / g.period[2] < g.links[2]) return true;
  }
  return false;
}

void LinkCellSampler::hand_on() {
  const int64_t count = rules_->geometry().core[2] - 1, own = end_ - begin_;
  if (count == 0) return;
  const auto bytes = static_cast<size_t>(count * lattice_.layer_words() * 4);
  for (int64_t r = 0; r < replicas(); ++r) {
    const device::Memory received(bytes, device::Memory::Where::device, device_);
    exchange({{layers(r, below_ + own, count),
               {received.data(), static_cast<int64_t>(bytes), DType::u8, device_},
               true}});
    for (int64_t layer = 0; layer < count; ++layer) {
      if (!moved_by_previous(r, layer)) continue;
      const device::Buffer to = layers(r, below_ + layer, 1);
      device::copy(to.data, device_,
                   static_cast<char*>(received.data()) + layer * lattice_.layer_words() * 4,
                   device_, to.bytes(), stream_);
    }
    device::synchronize(stream_);  // `received` goes
  }
}

std::vector<int64_t> LinkCellSampler::sum_over_ranks(const std::vector<int64_t>& mine) const {
  const std::string text(reinterpret_cast<const char*>(mine.data()), mine.size() * sizeof(int64_t));
  std::vector<int64_t> sums(mine.size());
  for (const std::string& part : ranks_->all_gather_text(text)) {
    for (size_t k = 0; k < sums.size(); ++k) {
      int64_t value;
      std::memcpy(&value, part.data() + k * sizeof value, sizeof value);
      sums[k] += value;
    }
  }
  return sums;
}

LinkCellSampler::Tally LinkCellSampler::tally(int64_t replica) {
  std::vector<AlloySums> slots(AlloySums::kSlots);
  device::copy(slots.data(), {},
               static_cast<AlloySums*>(sums_.data()) + replica * AlloySums::kSlots, device_,
               slots.size() * sizeof(AlloySums), stream_);
  device::synchronize(stream_);
  std::vector<int64_t> mine(3);
  for (const AlloySums& s : slots) mine[0] += s.trials, mine[1] += s.accepted, mine[2] += s.energy;
  const std::vector<int64_t> all = sum_over_ranks(mine);
  return {all[0], all[1], all[2]};
}

std::vector<uint64_t> LinkCellSampler::counts(int64_t replica) {
  exchange_halos();
  device::set_zero({counts_.data(), static_cast<int64_t>(counts_.bytes()), DType::u8, device_},
                   stream_);
  kernels::AlloyCount a;
  a.lattice = lattice_, a.lattice.replicas = 1;
  a.bonds = static_cast<const AlloyBond*>(device_bonds_.data());
  a.bond_count = static_cast<int>(bonds_.size()), a.shells = setup_.shells;
  a.species = setup_.species, a.words = replica_words(replica);
  a.counts = static_cast<uint64_t*>(counts_.data());
  a.first = below_, a.layers = end_ - begin_;
  kernels::alloy_count(a, stream_);
  std::vector<int64_t> mine(setup_.energies.size());
  device::copy(mine.data(), {}, counts_.data(), device_, counts_.bytes(), stream_);
  device::synchronize(stream_);
  const std::vector<int64_t> all = sum_over_ranks(mine);
  return {all.begin(), all.end()};
}

BondCounts LinkCellSampler::bonds(int64_t replica) {
  const std::vector<uint64_t> from_both_ends = counts(replica);
  BondCounts bonds{setup_.species, setup_.shells, {}};
  for (size_t k = 0; k < from_both_ends.size(); ++k) {
    const size_t n = static_cast<size_t>(setup_.species), a = k / n % n, b = k % n;
    bonds.counts.push_back(static_cast<int64_t>(from_both_ends[k]) / (a == b ? 2 : 1));
  }
  return bonds;
}

int64_t LinkCellSampler::energy(int64_t replica) {
  const std::vector<uint64_t> n = counts(replica);
  int64_t twice = 0;
  for (size_t k = 0; k < n.size(); ++k) twice += static_cast<int64_t>(n[k]) * energies_[k];
  return twice / 2;
}

void LinkCellSampler::add_state(const std::string& prefix, run::State& state) {
  const int64_t layer_bytes = lattice_.layer_words() * 4;
  run::StateArray words{
      prefix + ".words", {replicas(), lattice_.cells[2], layer_bytes}, DType::u8, {}};
  std::vector<int64_t> totals;
  for (int64_t r = 0; r < replicas(); ++r) {
    run::Piece piece;
    piece.box = {{r, begin_, 0}, {1, end_ - begin_, layer_bytes}};
    piece.save = [this, r](void* host) { copy_layers(r, below_, end_ - begin_, host, true); };
    piece.load = [this, r](const void* host) {
      copy_layers(r, below_, end_ - begin_, const_cast<void*>(host), false);
    };
    words.pieces.push_back(std::move(piece));
    const Tally t = tally(r);
    totals.insert(totals.end(), {t.trials, t.accepted, t.change});
  }
  state.arrays.push_back(std::move(words));
  state.values[prefix] = {{"step", step_}, {"tally", totals}};
}

void LinkCellSampler::loaded(const std::string& prefix, const nlohmann::json& values) {
  step_ = values.at(prefix).at("step");
  write_back(values.at(prefix).at("tally").get<std::vector<int64_t>>());
}

// The sums so far are known to rank 0 alone, so that they are counted once.
void LinkCellSampler::write_back(std::vector<int64_t> totals) {
  std::vector<AlloySums> slots(static_cast<size_t>(replicas() * AlloySums::kSlots));
  OCOEE_CHECK(totals.size() == static_cast<size_t>(3 * replicas()), "{} sums for {} replicas",
              totals.size(), replicas());
  if (ranks_->rank() == 0)
    for (size_t r = 0; r < static_cast<size_t>(replicas()); ++r)
      slots[r * AlloySums::kSlots] = {totals[3 * r], totals[3 * r + 1], totals[3 * r + 2]};
  device::copy(sums_.data(), device_, slots.data(), {}, slots.size() * sizeof(AlloySums), stream_);
  device::synchronize(stream_);
}

}  // namespace ocoee::alloy
