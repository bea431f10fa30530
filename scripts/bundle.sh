#!/usr/bin/env bash
# Makes a folder that runs where it is put: the program, the shared libraries it needs, their
# notices, the catalog and the small tiny model. The other machine has a glibc at least as new as the
# one here, what its package manager is made of and, for the GPU, the NVIDIA driver.
#
#   scripts/bundle.sh FOLDER [BUILD]      BUILD: a configured build, default build/bundle (made here)
#
# GLM_CUDA and GLM_CUDA_ARCHITECTURES decide about the CUDA backend of a build made here: by default
# there is code for all architectures (80, 86, 89, 90a, 100 and 120) where a toolkit is found.
set -euo pipefail
cd "$(dirname "$0")/.."

size_max=30000000

[ $# -ge 1 ] || { echo "usage: scripts/bundle.sh FOLDER [BUILD]" >&2; exit 2; }
folder=$1
build=${2:-}
if [ -e "$folder" ] && [ -n "$(ls -A "$folder")" ]; then
  echo "bundle: $folder is not empty; give a new folder" >&2
  exit 1
fi

# For size: the inner loops of the CPU backend ask for -O3 themselves, and what else the CPU does is
# 5 % slower so.
if [ -z "$build" ]; then
  build=build/bundle
  ./scripts/install_deps.sh
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGLM_TESTS=OFF "-DGLM_CUDA=${GLM_CUDA:-AUTO}" \
    "-DCMAKE_CXX_FLAGS_RELEASE=-Os -DNDEBUG -ffunction-sections -fdata-sections" \
    -DCMAKE_EXE_LINKER_FLAGS=-Wl,--gc-sections \
    ${GLM_CUDA_ARCHITECTURES:+"-DCMAKE_CUDA_ARCHITECTURES=$GLM_CUDA_ARCHITECTURES"}
fi
cmake --build "$build" -j "$(nproc)" --target glm
cmake --install "$build" --prefix "$folder" --strip >/dev/null

# One tiny model is enough, and it is the small one that `tiny` means here.
rm -rf "$folder/share/glm/models/glm-tiny"
cp "$folder/share/glm/catalog/tiny/int4.modelfile" "$folder/share/glm/catalog/tiny/latest.modelfile"

# What belongs to glibc and the loader must be the other machine's own. Of the rest, what apt, dpkg
# and bash need (the C++ runtime, GnuTLS and below, zlib, zstd, libmd, libtinfo) is on every Debian
# and Ubuntu under these names. So is OpenSSL 3 on every Ubuntu since 23.10, whose coreutils need it;
# on Debian it comes with ca-certificates, without which nothing can be pulled. The system's own is
# also the one that gets its security fixes. The others are found by the program's RPATH
# ($ORIGIN/../lib, see cmd/CMakeLists.txt), which holds for the libraries that they need in turn.
mkdir -p "$folder/lib" "$folder/notices"
cp LICENSE "$folder/notices/glm"
ldd "$folder/bin/glm" | awk '/=> \//{print $3}' | sort -u | while read -r library; do
  name=$(basename "$library")
  case "$name" in
    libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.* | libresolv.so.* | ld-linux*) continue ;;
    libstdc++.so.6 | libgcc_s.so.1 | libz.so.1 | libzstd.so.1 | libmd.so.0 | libtinfo.so.6) continue ;;
    libcrypto.so.3 | libssl.so.3) continue ;;
    libgnutls.so.30 | libhogweed.so.6 | libnettle.so.8 | libgmp.so.10 | libp11-kit.so.0 | libtasn1.so.6 | libffi.so.8)
      continue ;;
  esac
  cp -L "$library" "$folder/lib/$name"
  chmod u+w "$folder/lib/$name"
  package=$(dpkg -S "$(realpath "$library")" 2>/dev/null || dpkg -S "$library" 2>/dev/null || true)
  package=${package%%:*}
  notice=/usr/share/doc/$package/copyright
  if [ -z "$package" ] || [ ! -e "$notice" ]; then
    echo "bundle: no notice was found for $name" >&2
    exit 1
  fi
  cp -L "$notice" "$folder/notices/$package"
done

# Packages of one source have the same notice.
for notice in "$folder"/notices/*; do
  [ -L "$notice" ] && continue
  for other in "$folder"/notices/*; do
    if [ "$other" != "$notice" ] && [ ! -L "$other" ] && cmp -s "$notice" "$other"; then
      ln -sf "$(basename "$notice")" "$other"
    fi
  done
done

size=$(du -sb "$folder" | cut -f1)
echo "bundle: $folder, $((size / 1000000)).$((size / 100000 % 10)) MB; try $folder/bin/glm run tiny \"What is 17 + 25?\""
if [ "$size" -gt "$size_max" ]; then
  echo "bundle: that is more than the $((size_max / 1000000)) MB a bundle may have" >&2
  exit 1
fi
