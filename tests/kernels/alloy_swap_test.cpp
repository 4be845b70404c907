// SPDX-License-Identifier: Apache-2.0
// The link-cell kernel against a chain that is written down from its definition, site by site.
#include "kernels/alloy_swap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/alloy_bits.h"
#include "kernels/alloy_model.h"

namespace ocoee::kernels::test {
namespace {

std::vector<AlloyCase> cases() {
  std::vector<AlloyCase> all;
  const auto add = [&](const char* kind, std::array<int64_t, 3> cells, int shells, int species,
                       int planes, std::array<int, 3> core = {0, 0, 0}) {
    AlloyCase c{kind, cells, shells, species, planes};
    const int64_t sites = cells[0] * cells[1] * cells[2] * alloy_basis(kind);
    c.atoms.assign(static_cast<size_t>(species), sites / species);
    c.atoms[0] += sites % species;
    c.energies = random_energies(shells, species, 1000, static_cast<uint64_t>(all.size()) + 1);
    c.core = core;
    all.push_back(c);
  };
  add("square", {6, 3, 1}, 1, 2, 1);
  add("square", {7, 67, 1}, 2, 3, 2, {4, 2, 1});
  add("square", {70, 5, 1}, 3, 2, 2);
  add("sc", {37, 6, 5}, 2, 5, 4);
  add("sc", {4, 5, 9}, 1, 2, 1, {2, 2, 3});
  add("bcc", {3, 3, 3}, 2, 4, 2);
  add("bcc", {35, 3, 7}, 2, 4, 2);
  add("bcc", {9, 4, 8}, 6, 4, 2);
  add("bcc", {4, 3, 3}, 1, 2, 1, {3, 2, 2});
  add("fcc", {5, 6, 7}, 2, 16, 4);
  add("fcc", {4, 8, 4}, 6, 3, 2, {2, 2, 2});
  return all;
}
std::string name_of(const AlloyCase& c) {
  return c.kind + " " + std::to_string(c.cells[0]) + "x" + std::to_string(c.cells[1]) + "x" +
         std::to_string(c.cells[2]) + ", " + std::to_string(c.shells) + " shells, " +
         std::to_string(c.species) + " species";
}

// From the definition in alloy_swap.h, in double precision.
struct PlainChain {
  explicit PlainChain(const AlloyCase& c) : plain(c), setup(c) {
    int reach[3] = {0, 0, 0};
    for (const AlloyBond& bond : plain.bonds())
      for (int d = 0; d < 3; ++d) reach[d] = std::max(reach[d], std::abs(bond.cell[d]));
    for (size_t d = 0; d < 3; ++d) {
      core[d] = c.core[d] ? c.core[d] : (reach[d] ? 2 : 1);
      period[d] = core[d] + reach[d];
      links[d] = c.cells[d] / period[d];
    }
  }
  void step(std::vector<uint8_t>& species, double beta, int trials, uint64_t seed, uint64_t number,
            uint64_t replica) {
    const PhiloxKey key = random_key(seed, Purpose::monte_carlo, number);
    const PhiloxCounter start = random_bits(key, replica, uint64_t{1} << 32);
    int64_t origin[3];
    for (size_t d = 0; d < 3; ++d)
      origin[d] = static_cast<int64_t>(
          (uint64_t{start.v[d]} * static_cast<uint64_t>(setup.cells[d])) >> 32);
    for (int64_t kz = 0; kz < links[2]; ++kz)
      for (int64_t ky = 0; ky < links[1]; ++ky)
        for (int64_t kx = 0; kx < links[0]; ++kx) {
          std::vector<size_t> sites;
          for (int b = 0; b < plain.basis(); ++b)
            for (int64_t z = 0; z < core[2]; ++z)
              for (int64_t y = 0; y < core[1]; ++y)
                for (int64_t x = 0; x < core[0]; ++x)
                  sites.push_back(plain.site(origin[0] + kx * period[0] + x,
                                             origin[1] + ky * period[1] + y,
                                             origin[2] + kz * period[2] + z, b));
          const auto id = static_cast<uint64_t>(
              ((static_cast<int64_t>(replica) * links[2] + kz) * links[1] + ky) * links[0] + kx);
          for (int t = 0; t < trials; ++t) {
            const PhiloxCounter bits = random_bits(key, id, static_cast<uint64_t>(t / 2));
            trial(species, sites, bits.v[t % 2 * 2], bits.v[t % 2 * 2 + 1], beta);
          }
        }
  }
  void trial(std::vector<uint8_t>& species, const std::vector<size_t>& sites, uint32_t which,
             uint32_t chance, double beta) {
    const uint64_t first = uint64_t{which} * sites.size();
    const size_t i = sites[first >> 32];
    std::vector<size_t> unlike;
    for (const size_t j : sites)
      if (species[j] != species[i]) unlike.push_back(j);
    if (unlike.empty()) return;
    ++proposed;
    const uint64_t second = (first & 0xffffffff) * unlike.size();
    const size_t j = unlike[second >> 32];
    const auto change = static_cast<double>(plain.swap_change(species, i, j));
    const double u =
        (static_cast<double>(chance) + static_cast<double>(second & 0xffffffff) * 0x1p-32) *
        0x1p-32;
    if (beta * change <= -std::log(u)) std::swap(species[i], species[j]), ++accepted;
  }

  PlainAlloy plain;
  AlloyCase setup;
  int64_t core[3]{}, period[3]{}, links[3]{};
  int64_t proposed = 0, accepted = 0;
};

TEST(AlloySwap, EqualsTheChainWrittenOut) {
  for (const AlloyCase& c : cases()) {
    SCOPED_TRACE(name_of(c));
    const std::vector<float> beta{0.0f, 0.0004f, 0.003f};
    PlainChain chain(c);
    std::vector<std::vector<uint8_t>> species;
    for (uint64_t r = 0; r < beta.size(); ++r) species.push_back(chain.plain.shuffled(r));
    RunningAlloy alloy(c, species, beta);
    std::vector<int64_t> before;
    for (const auto& s : species) before.push_back(chain.plain.energy(s));
    alloy.run(6, 7, 5);
    const auto got = alloy.species();
    for (size_t r = 0; r < beta.size(); ++r) {
      chain.proposed = chain.accepted = 0;
      for (uint64_t s = 0; s < 6; ++s)
        chain.step(species[r], static_cast<double>(beta[r]), 7, 5, s, r);
      ASSERT_EQ(species[r], got[r]) << "replica " << r;
      const AlloySums sums = alloy.sums(static_cast<int64_t>(r));
      EXPECT_EQ(sums.trials, chain.proposed);
      EXPECT_EQ(sums.accepted, chain.accepted);
      EXPECT_GT(sums.accepted, 0);
      EXPECT_EQ(sums.energy, chain.plain.energy(got[r]) - before[r]);
    }
  }
}

// The energy of accepted swaps, added up, is what a recount of all bonds says, after every
// sub-sweep until a million were accepted.
TEST(AlloySwap, AMillionMovesAddUpToTheRecount) {
  const OneThread one;
  AlloyCase c{"bcc", {12, 12, 12}, 6, 4, 2};
  c.atoms = {864, 864, 864, 864};
  c.energies = random_energies(6, 4, 100000, 3);
  const PlainAlloy plain(c);
  const std::vector<uint8_t> start = plain.shuffled(1);
  RunningAlloy alloy(c, {start}, {2e-6f});
  const int64_t at_first = plain.energy(start);
  int64_t accepted = 0;
  for (int step = 0; step < 4000 && accepted < 1000000; ++step) {
    alloy.run(1, 32, 9);
    const AlloySums sums = alloy.sums(0);
    accepted = sums.accepted;
    ASSERT_EQ(sums.energy, plain.energy(alloy.species()[0]) - at_first);
  }
  EXPECT_GE(accepted, 1000000);
}

TEST(AlloySwap, SameBitsForAnyThreadsAndBlocks) {
  AlloyCase c{"bcc", {35, 10, 12}, 2, 4, 2};
  c.atoms = {2100, 2100, 2100, 2100};
  c.energies = random_energies(2, 4, 100, 4);
  const auto start = PlainAlloy(c).shuffled(2);
  std::vector<uint32_t> first;
  const int before = thread_count();
  for (const int threads : {1, 2, 3, 7, 64, 128}) {
    RunningAlloy alloy(c, {start, start}, {0.01f, 0.001f});
    if (threads < 64) set_thread_count(threads);
    if (threads >= 64) alloy.threads = threads;
    alloy.run(20, 9, 1);
    if (first.empty()) first = alloy.words();
    EXPECT_EQ(first, alloy.words()) << threads;
  }
  set_thread_count(before);
  EXPECT_NE(first, RunningAlloy(c, {start, start}, {0, 0}).words());
}

// A part of the replicas, and a slab of layers with its halo, move as they do in the whole.
TEST(AlloySwap, PartsEqualTheWhole) {
  AlloyCase c{"bcc", {9, 6, 12}, 2, 4, 2};
  c.atoms = {324, 324, 324, 324};
  c.energies = random_energies(2, 4, 100, 5);
  const PlainAlloy plain(c);
  const std::vector<std::vector<uint8_t>> starts{plain.shuffled(1), plain.shuffled(2)};
  RunningAlloy whole(c, starts, {0.01f, 0.02f});
  const std::vector<uint32_t> before = whole.words();
  alloy_swap(whole.step_arguments(8, 3, 17), test_stream());
  const auto want = whole.words();

  RunningAlloy second(c, {starts[1]}, {0.02f});
  AlloySwap a = second.step_arguments(8, 3, 17);
  a.first_replica = 1;
  alloy_swap(a, test_stream());
  EXPECT_EQ(second.species()[0], whole.species()[1]);

  // Each slab works off the link cells whose core begins in it; a core may end one layer further.
  const AlloyLattice& all = whole.lattice();
  const auto layer_words = static_cast<size_t>(all.layer_words());
  std::vector<uint32_t> joined(layer_words * 12);
  const AlloyOrigin origin = alloy_origin(all, 3, 17, 0);
  for (int64_t slab = 0; slab < 3; ++slab) {
    AlloyLattice part = all;
    part.replicas = 1, part.first_layer = slab * 4 - 1, part.layers = 7;
    std::vector<uint32_t> words;
    for (int64_t z = part.first_layer; z < part.first_layer + part.layers; ++z) {
      const auto from = static_cast<size_t>((z + 12) % 12) * layer_words;
      words.insert(words.end(), before.begin() + static_cast<int64_t>(from),
                   before.begin() + static_cast<int64_t>(from + layer_words));
    }
    for (int64_t k = 0; k < 4; ++k) {
      const int64_t core = (origin.at[2] + 3 * k) % 12;
      if (core < slab * 4 || core >= slab * 4 + 4) continue;
      const DeviceArray<uint32_t> held(words);
      const DeviceArray<AlloySums> sums(std::vector<AlloySums>(AlloySums::kSlots));
      AlloySwap s = whole.step_arguments(8, 3, 17);
      s.lattice = part, s.words = held.data(), s.sums = sums.data();
      s.first_link = k, s.link_layers = 1;
      alloy_swap(s, test_stream());
      const auto moved = held.read();
      for (int64_t z = core; z < core + 2; ++z)
        std::copy_n(moved.begin() + static_cast<int64_t>(layer_words) * (z - part.first_layer),
                    layer_words, joined.begin() + static_cast<int64_t>(layer_words) * (z % 12));
    }
  }
  for (int64_t k = 0; k < 4; ++k) {
    const auto gap = static_cast<int64_t>(layer_words) * ((origin.at[2] + 3 * k + 2) % 12);
    std::copy_n(before.begin() + gap, layer_words, joined.begin() + gap);
  }
  EXPECT_TRUE(std::equal(joined.begin(), joined.end(), want.begin()));
}

TEST(AlloyCount, EqualsBondByBond) {
  for (const AlloyCase& c : cases()) {
    SCOPED_TRACE(name_of(c));
    const PlainAlloy plain(c);
    const std::vector<std::vector<uint8_t>> starts{plain.shuffled(1), plain.shuffled(2)};
    const RunningAlloy alloy(c, starts, {0, 0});
    const DeviceArray<AlloyBond> bonds(plain.bonds());
    const size_t size = static_cast<size_t>(c.shells * c.species * c.species);
    const DeviceArray<uint64_t> counts(std::vector<uint64_t>(2 * size));
    AlloyCount a;
    a.lattice = alloy.lattice(), a.bonds = bonds.data();
    a.bond_count = static_cast<int>(plain.bonds().size()), a.shells = c.shells;
    a.species = c.species, a.words = alloy.data(), a.counts = counts.data();
    a.layers = c.cells[2];
    alloy_count(a, test_stream());
    std::vector<uint64_t> want;
    for (const auto& species : starts) {
      std::vector<uint64_t> one(size);
      for (size_t i = 0; i < plain.sites(); ++i)
        for (const auto& n : plain.neighbours(i))
          ++one[static_cast<size_t>((n.shell * c.species + species[i]) * c.species +
                                    species[n.site])];
      want.insert(want.end(), one.begin(), one.end());
    }
    EXPECT_EQ(counts.read(), want);
  }
}

TEST(AlloyFill, HasItsComposition) {
  AlloyLattice whole;
  whole.cells[0] = 45, whole.cells[1] = 20, whole.cells[2] = 30;
  whole.basis = 2, whole.planes = 2, whole.layers = 30;
  AlloyFill fill;
  fill.species = 3;
  fill.threshold[0] = 1u << 31, fill.threshold[1] = 3u << 30;  // 1/2, 1/4, 1/4
  fill.seed = 8;
  const auto filled = [&](int64_t first, int64_t layers) {
    fill.lattice = whole, fill.lattice.first_layer = first, fill.lattice.layers = layers;
    const DeviceArray<uint32_t> words(
        std::vector<uint32_t>(static_cast<size_t>(fill.lattice.words()), 0xffffffff));
    fill.words = words.data();
    alloy_fill(fill, test_stream());
    return words.read();
  };
  const auto words = filled(0, 30), part = filled(-3, 9);
  const auto layer = static_cast<int64_t>(whole.layer_words());
  EXPECT_TRUE(std::equal(part.begin() + 3 * layer, part.end(), words.begin()));
  EXPECT_TRUE(std::equal(part.begin(), part.begin() + 3 * layer, words.end() - 3 * layer));
  std::vector<uint8_t> species(static_cast<size_t>(whole.sites()));
  unpack_species(whole, words.data(), species.data());
  const auto n = static_cast<double>(species.size());
  EXPECT_NEAR(static_cast<double>(std::count(species.begin(), species.end(), 0)), n / 2,
              5 * std::sqrt(n / 4));
  EXPECT_NEAR(static_cast<double>(std::count(species.begin(), species.end(), 2)), n / 4,
              5 * std::sqrt(n * 3 / 16));
  std::vector<uint32_t> again(words.size());
  pack_species(whole, species.data(), again.data());
  EXPECT_EQ(again, words) << "bits beyond a row are zero";
}

TEST(AlloyRules, SaysWhatDoesNotFit) {
  const auto message = [](const AlloyCase& c) -> std::string {
    try {
      AlloyRules(c.lattice(), alloy_bonds(c.kind, c.shells), c.species, c.energies, c.core);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  AlloyCase small{"bcc", {2, 9, 9}, 2, 2, 1, {81, 81}, random_energies(2, 2, 3, 1)};
  EXPECT_THAT(message(small), testing::HasSubstr("2 cells along x"));
  AlloyCase large{"bcc", {9, 9, 9}, 2, 2, 1, {}, std::vector<int32_t>(8, 100000000)};
  EXPECT_THAT(message(large), testing::HasSubstr("a larger quantum"));
  AlloyCase core{"fcc", {9, 9, 9}, 2, 2, 1, {}, random_energies(2, 2, 3, 1), {3, 2, 2}};
  EXPECT_THAT(message(core), testing::HasSubstr("48 sites"));
  AlloyCase thin{"bcc", {9, 9, 9}, 2, 2, 1, {}, random_energies(2, 2, 3, 1), {2, 1, 2}};
  EXPECT_THAT(message(thin), testing::HasSubstr("one cell along y"));
  AlloyCase many{"sc", {9, 9, 9}, 1, 5, 2, {}, random_energies(1, 5, 3, 1)};
  EXPECT_THAT(message(many), testing::HasSubstr("5 species"));
  EXPECT_THROW(alloy_bonds("hcp", 1), Error);
}

TEST(AlloyBits, ExponentialIsTheLogarithm) {
  RandomStream random(6, Purpose::noise, 0, 0);
  const auto check = [](uint32_t high, uint32_t low) {
    const long double u = (static_cast<long double>(high) + low * 0x1p-32L) * 0x1p-32L;
    const double exact = static_cast<double>(-std::log(std::max(u, 0x1p-65L)));
    ASSERT_NEAR(static_cast<double>(exponential(high, low)), exact, 2e-7 * std::max(1.0, exact))
        << high << " " << low;
    ASSERT_GE(exponential(high, low), 0) << "a change of zero is accepted";
  };
  for (int k = 0; k < 200000; ++k) check(random.next32(), random.next32());
  for (int bit = 0; bit < 32; ++bit)
    for (const uint32_t near : {0u, 1u, 0xffffffffu}) check((1u << bit) + near, random.next32());
  for (const uint32_t low : {0u, 1u, 0x80000000u, 0xffffffffu}) {
    check(0, low), check(1, low), check(0xffffffffu, low);
  }
}

TEST(AlloyBits, SelectsTheBit) {
  RandomStream random(7, Purpose::noise, 0, 0);
  for (int k = 0; k < 1000; ++k) {
    const uint32_t word = random.next32() & random.next32();
    int number = 0;
    for (int bit = 0; bit < 32; ++bit)
      if ((word >> bit) & 1) {
        ASSERT_EQ(select_bit(word, number++), bit);
      }
  }
}

TEST(AlloyBonds, ShellsOfTheLattices) {
  const auto sizes = [](const char* kind, int shells) {
    std::vector<int> z(static_cast<size_t>(shells));
    for (const AlloyBond& bond : alloy_bonds(kind, shells))
      if (bond.from == 0) ++z[static_cast<size_t>(bond.shell)];
    return z;
  };
  EXPECT_EQ(sizes("bcc", 6), (std::vector<int>{8, 6, 12, 24, 8, 6}));
  EXPECT_EQ(sizes("fcc", 6), (std::vector<int>{12, 6, 24, 12, 24, 8}));
  EXPECT_EQ(sizes("sc", 3), (std::vector<int>{6, 12, 8}));
  EXPECT_EQ(sizes("square", 3), (std::vector<int>{4, 4, 4}));
}

}  // namespace
}  // namespace ocoee::kernels::test
