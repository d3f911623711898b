"""What AutoReg is compared with: manual tuning."""
