"""SensorFrame -> Scene."""
