# Every library comes from Debian 12; deploy/packages.txt names the packages.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(package grpc libprotobuf-c libnats libmicrohttpd yaml-0.1 jansson libisal libxxhash popt libcurl libxml-2.0
        libcrypto criterion)
  string(MAKE_C_IDENTIFIER "${package}" name)
  if(package STREQUAL "criterion" AND NOT WAYBILL_TESTS)
    continue()
  endif()
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${package})
endforeach()

# LevelDB has no pkg-config file in Debian.
find_path(LEVELDB_INCLUDE leveldb/c.h REQUIRED)
find_library(LEVELDB_LIBRARY leveldb REQUIRED)
add_library(leveldb INTERFACE)
target_include_directories(leveldb SYSTEM INTERFACE ${LEVELDB_INCLUDE})
target_link_libraries(leveldb INTERFACE ${LEVELDB_LIBRARY})

# What gRPC, LevelDB and the NATS client take and free on many threads costs an eighth less of the
# commit path's processor time than with glibc's allocator.
add_library(waybill_allocator INTERFACE)
if(WAYBILL_JEMALLOC)
  pkg_check_modules(jemalloc REQUIRED IMPORTED_TARGET jemalloc)
  target_link_libraries(waybill_allocator INTERFACE PkgConfig::jemalloc)
  target_sources(waybill_allocator INTERFACE ${PROJECT_SOURCE_DIR}/common/service/allocator.c)
endif()

find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_C protoc-c REQUIRED)
